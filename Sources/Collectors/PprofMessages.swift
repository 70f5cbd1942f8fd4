// The messages of pprof's profile.proto (package perftools.profiles of github.com/google/pprof) that are written, by
// hand: seven small ones, which spare a code generator at build time. Fields carry the schema's names and numbers.

internal import SwiftProtobuf

/// A message that is only written. Reading one skips all of its fields.
protocol PprofMessage: Message, Equatable {}

extension PprofMessage {
  var unknownFields: UnknownStorage {
    get { UnknownStorage() }
    set {}
  }

  mutating func decodeMessage<D: SwiftProtobuf.Decoder>(decoder: inout D) throws {
    while try decoder.nextFieldNumber() != nil {}
  }

  func isEqualTo(message: any Message) -> Bool { message as? Self == self }
}

extension Visitor {
  /// proto3 leaves out what is 0.
  fileprivate mutating func integer(_ value: Int64, _ field: Int) throws {
    if value != 0 { try visitSingularInt64Field(value: value, fieldNumber: field) }
  }

  fileprivate mutating func number(_ value: UInt64, _ field: Int) throws {
    if value != 0 { try visitSingularUInt64Field(value: value, fieldNumber: field) }
  }

  fileprivate mutating func messages(_ value: [some Message], _ field: Int) throws {
    if !value.isEmpty { try visitRepeatedMessageField(value: value, fieldNumber: field) }
  }

  fileprivate mutating func flag(_ value: Bool, _ field: Int) throws {
    if value { try visitSingularBoolField(value: value, fieldNumber: field) }
  }
}

struct PprofProfile: PprofMessage {
  static let protoMessageName = "perftools.profiles.Profile"

  var sampleType: [PprofValueType] = []
  var sample: [PprofSample] = []
  var mapping: [PprofMapping] = []
  var location: [PprofLocation] = []
  var function: [PprofFunction] = []
  var stringTable: [String] = []
  var timeNanos: Int64 = 0
  var durationNanos: Int64 = 0
  var periodType = PprofValueType()
  var period: Int64 = 0
  var comment: [Int64] = []
  var defaultSampleType: Int64 = 0

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.messages(sampleType, 1)
    try visitor.messages(sample, 2)
    try visitor.messages(mapping, 3)
    try visitor.messages(location, 4)
    try visitor.messages(function, 5)
    if !stringTable.isEmpty { try visitor.visitRepeatedStringField(value: stringTable, fieldNumber: 6) }
    try visitor.integer(timeNanos, 9)
    try visitor.integer(durationNanos, 10)
    try visitor.visitSingularMessageField(value: periodType, fieldNumber: 11)
    try visitor.integer(period, 12)
    if !comment.isEmpty { try visitor.visitPackedInt64Field(value: comment, fieldNumber: 13) }
    try visitor.integer(defaultSampleType, 14)
  }
}

struct PprofValueType: PprofMessage {
  static let protoMessageName = "perftools.profiles.ValueType"

  var type: Int64 = 0
  var unit: Int64 = 0

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.integer(type, 1)
    try visitor.integer(unit, 2)
  }
}

struct PprofSample: PprofMessage {
  static let protoMessageName = "perftools.profiles.Sample"

  var locationID: [UInt64] = []
  var value: [Int64] = []
  var label: [PprofLabel] = []

  func traverse<V: Visitor>(visitor: inout V) throws {
    if !locationID.isEmpty { try visitor.visitPackedUInt64Field(value: locationID, fieldNumber: 1) }
    if !value.isEmpty { try visitor.visitPackedInt64Field(value: value, fieldNumber: 2) }
    try visitor.messages(label, 3)
  }
}

struct PprofLabel: PprofMessage {
  static let protoMessageName = "perftools.profiles.Label"

  var key: Int64 = 0
  var str: Int64 = 0
  var num: Int64 = 0

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.integer(key, 1)
    try visitor.integer(str, 2)
    try visitor.integer(num, 3)
  }
}

struct PprofMapping: PprofMessage {
  static let protoMessageName = "perftools.profiles.Mapping"

  var id: UInt64 = 0
  var memoryStart: UInt64 = 0
  var memoryLimit: UInt64 = 0
  var fileOffset: UInt64 = 0
  var filename: Int64 = 0
  var buildID: Int64 = 0
  var hasFunctions = false
  var hasFilenames = false

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.number(id, 1)
    try visitor.number(memoryStart, 2)
    try visitor.number(memoryLimit, 3)
    try visitor.number(fileOffset, 4)
    try visitor.integer(filename, 5)
    try visitor.integer(buildID, 6)
    try visitor.flag(hasFunctions, 7)
    try visitor.flag(hasFilenames, 8)
  }
}

struct PprofLocation: PprofMessage {
  static let protoMessageName = "perftools.profiles.Location"

  var id: UInt64 = 0
  var mappingID: UInt64 = 0
  var line: [PprofLine] = []

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.number(id, 1)
    try visitor.number(mappingID, 2)
    try visitor.messages(line, 4)
  }
}

struct PprofLine: PprofMessage {
  static let protoMessageName = "perftools.profiles.Line"

  var functionID: UInt64 = 0
  var line: Int64 = 0

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.number(functionID, 1)
    try visitor.integer(line, 2)
  }
}

struct PprofFunction: PprofMessage {
  static let protoMessageName = "perftools.profiles.Function"

  var id: UInt64 = 0
  var name: Int64 = 0
  var filename: Int64 = 0
  var startLine: Int64 = 0

  func traverse<V: Visitor>(visitor: inout V) throws {
    try visitor.number(id, 1)
    try visitor.integer(name, 2)
    try visitor.integer(filename, 4)
    try visitor.integer(startLine, 5)
  }
}
