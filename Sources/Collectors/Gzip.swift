// gzip, by the system's zlib.

internal import CZlib

/// `bytes` as one gzip member without a file name or time: the same bytes always give the same member.
func gzipped(_ bytes: [UInt8]) -> [UInt8] {
  var stream = unsafe z_stream()
  guard unsafe caduceus_begin_gzip(&stream) == Z_OK else { preconditionFailure("zlib has no memory") }
  defer { _ = unsafe deflateEnd(&stream) }
  var output = [UInt8](repeating: 0, count: Int(unsafe deflateBound(&stream, UInt(bytes.count))))
  var input = bytes
  let ended = unsafe input.withUnsafeMutableBytes { source in
    unsafe output.withUnsafeMutableBytes { target in
      // zlib counts in 32 bits.
      var taken = 0
      var given = 0
      var status = Z_OK
      repeat {
        let most = Int(UInt32.max)
        let (some, room) = (min(most, source.count - taken), min(most, target.count - given))
        unsafe stream.next_in = source.baseAddress.map {
          unsafe $0.assumingMemoryBound(to: UInt8.self) + taken
        }
        unsafe stream.next_out = target.baseAddress.map {
          unsafe $0.assumingMemoryBound(to: UInt8.self) + given
        }
        unsafe stream.avail_in = UInt32(some)
        unsafe stream.avail_out = UInt32(room)
        status = unsafe deflate(&stream, taken + some == source.count ? Z_FINISH : Z_NO_FLUSH)
        taken += unsafe some - Int(stream.avail_in)
        given += unsafe room - Int(stream.avail_out)
      } while status == Z_OK
      return status == Z_STREAM_END ? given : nil
    }
  }
  // The room is what zlib itself says it needs at most.
  guard let ended else { preconditionFailure("zlib wrote more than deflateBound") }
  output.removeSubrange(ended...)
  return output
}
