// The pstats file: a marshalled dictionary, in the form every reader takes or in that of CPython's sampling profiler.

extension PstatsCollector {
  /// The file in the form every reader takes.
  public func exported() -> [UInt8] { exported(form: .compatible) }

  /// Writes the file in `form` to `path` by `ExportedFile.write`.
  public func export(to path: String, owner: FileOwner? = nil, form: Form) throws(ExportError) {
    try ExportedFile.write(exported(form: form), to: path, owner: owner)
  }

  /// A marshalled dictionary from (file, line, function) to (cc, nc, tt, ct, callers), where callers maps the
  /// caller's key to (nc, cc, tt, ct), or to nc alone in the form of CPython's sampling profiler.
  ///
  /// A profile without any frame gives an empty dictionary, which pstats itself refuses.
  public func exported(form: Form) -> [UInt8] {
    var writer = MarshalWriter()
    writer.beginDictionary()
    for entry in entries {
      write(entry.function, to: &writer)
      writer.beginTuple(count: 5)
      writer.append(integer: entry.cc)
      writer.append(integer: entry.nc)
      writer.append(double: entry.tt)
      writer.append(double: entry.ct)
      writer.beginDictionary()
      for caller in entry.callers {
        write(entries[caller.entry].function, to: &writer)
        if form == .compatible { writer.beginTuple(count: 4) }
        writer.append(integer: caller.nc)
        if form == .sampled { continue }
        writer.append(integer: caller.cc)
        writer.append(double: caller.tt)
        writer.append(double: caller.ct)
      }
      writer.endDictionary()
    }
    if form == .sampled {
      writer.beginTuple(count: 1)
      writer.append(string: "__sampled__")
      writer.appendTrue()
    }
    writer.endDictionary()
    return writer.bytes
  }

  private func write(_ function: Function, to writer: inout MarshalWriter) {
    writer.beginTuple(count: 3)
    writer.append(string: function.file)
    writer.append(integer: UInt64(max(0, function.line)))
    writer.append(string: function.name)
  }
}
