// One request of HTTP/1.1 to a server on this machine. Foundation's own client refuses the header lines that
// chromedriver writes.

import Foundation
import Glibc

/// A request that waits for its answer.
struct LocalRequest {
  let port: UInt16
  let method: String
  let path: String
  let body: Data

  /// The body of the answer, whatever its status. Nothing in two minutes is an error.
  func answer() throws -> Data {
    let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard connection >= 0 else { throw failure("socket") }
    defer { close(connection) }
    var patience = timeval(tv_sec: 120, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    unsafe setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
    try connect(connection)
    let head = """
      \(method) \(path) HTTP/1.1\r
      Host: 127.0.0.1:\(port)\r
      Content-Type: application/json\r
      Content-Length: \(body.count)\r
      Connection: close\r
      \r

      """
    try send(Array(head.utf8) + body, to: connection)
    return try receive(from: connection)
  }

  private func connect(_ connection: Int32) throws {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if result != 0 { throw failure("connect") }
  }

  private func send(_ bytes: [UInt8], to connection: Int32) throws {
    var sent = 0
    while sent < bytes.count {
      let result = unsafe bytes[sent...].withUnsafeBytes {
        unsafe Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if result < 0, errno != EINTR { throw failure("send") }
      sent += max(0, result)
    }
  }

  private func receive(from connection: Int32) throws -> Data {
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    let blank = Array("\r\n\r\n".utf8)
    var end: Int?
    while end.map({ answer.count < $0 }) ?? true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe recv(connection, $0.baseAddress, $0.count, 0)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw failure("receive") }
      if count == 0 { break }
      answer += buffer.prefix(count)
      if end == nil, let head = answer.firstRange(of: blank) {
        let lines = String(decoding: answer[..<head.lowerBound], as: UTF8.self).lowercased()
        let length = lines.firstMatch(of: /content-length: *(\d+)/).flatMap { Int($0.1) }
        end = length.map { head.upperBound + $0 }
      }
    }
    guard let head = answer.firstRange(of: blank) else { throw failure("read an answer") }
    return Data(answer[head.upperBound...])
  }

  private func failure(_ step: String) -> BrowserError {
    BrowserError(description: "\(method) \(path): cannot \(step), error \(errno)")
  }
}
