// swift-tools-version: 6.2
// caduceus: a sampling profiler for CPython programs that spend their time in native extensions.
// The targets are listed in the order in which a sample flows through them.
import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

/// Modules whose borrowed views need lifetime annotations.
let borrowing: [SwiftSetting] = strict + [.enableExperimentalFeature("Lifetimes")]

let package = Package(
  name: "caduceus",
  products: [.executable(name: "caduceus", targets: ["caduceus"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
  ],
  targets: [
    // What runs in the kernel or speaks its ABI.
    .target(name: "CPerfEvent", path: "Kernel/CPerfEvent"),
    .systemLibrary(name: "PythonChain", path: "Kernel/PythonChain"),
    // The eBPF program's walk, compiled for user space.
    .target(name: "CChainReader", path: "Kernel/CChainReader", cSettings: [.headerSearchPath(".")]),
    .executableTarget(
      name: "EmbedBPFTool", path: "Kernel/EmbedBPFTool", swiftSettings: [.treatAllWarnings(as: .error)]),
    .plugin(
      name: "EmbedBPF", capability: .buildTool(), dependencies: ["EmbedBPFTool"], path: "Kernel/EmbedBPF"),

    // C libraries, each imported by exactly one Swift module.
    .systemLibrary(name: "CLibunwind", path: "Sources/CLibunwind", pkgConfig: "libunwind-generic"),
    .systemLibrary(name: "CLibelf", path: "Sources/CLibelf", pkgConfig: "libelf"),
    .systemLibrary(name: "CLibdw", path: "Sources/CLibdw", pkgConfig: "libdw"),
    .systemLibrary(name: "CLibbpf", path: "Sources/CLibbpf", pkgConfig: "libbpf"),
    .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib"),
    .systemLibrary(name: "CDemangle", path: "Sources/CDemangle"),
    .target(name: "CProcessMemory", path: "Sources/CProcessMemory"),
    .target(name: "CHeldProcess", path: "Sources/CHeldProcess"),

    .target(name: "Accounting", swiftSettings: strict),
    .target(name: "Snapshots", dependencies: ["PythonChain", "Accounting"], swiftSettings: borrowing),
    .target(name: "SwitchProof", dependencies: ["Snapshots", "Accounting"], swiftSettings: borrowing),
    .target(
      name: "PerfEvents",
      dependencies: [
        "Snapshots", "SwitchProof", "Accounting", "CPerfEvent", "CChainReader", "CLibbpf", "PythonChain",
      ],
      swiftSettings: borrowing, plugins: ["EmbedBPF"]),
    .target(
      name: "ProcessImages",
      dependencies: ["Snapshots", "Accounting", "CLibelf", "CLibdw", "CDemangle", "CProcessMemory"],
      swiftSettings: borrowing, linkerSettings: [.linkedLibrary("stdc++")]),
    .target(
      name: "NativeUnwinding", dependencies: ["Snapshots", "ProcessImages", "Accounting", "CLibunwind"],
      swiftSettings: borrowing),
    .target(
      name: "PythonFrames", dependencies: ["Snapshots", "ProcessImages", "Accounting", "PythonChain"],
      swiftSettings: borrowing),
    .target(
      name: "MixedStacks", dependencies: ["NativeUnwinding", "PythonFrames", "Accounting"],
      swiftSettings: borrowing),
    .target(name: "Profiles", dependencies: ["Accounting"], swiftSettings: strict),
    // The files of the interactive flame graph, plain in the source tree and embedded as they are.
    .target(
      name: "FlameGraphPage",
      resources: [
        "page.html", "page.css", "data.js", "weights.js", "trees.js", "layout.js", "drawing.js", "search.js",
        "panels.js", "view.js", "controls.js", "surface.js", "main.js",
      ].map { .embedInCode($0) }, swiftSettings: strict),
    .target(
      name: "Collectors",
      dependencies: [
        "Profiles", "Accounting", "FlameGraphPage", "CZlib",
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ], swiftSettings: strict),
    .target(
      name: "Sampling",
      dependencies: [
        "Profiles", "PerfEvents", "PythonChain", "CHeldProcess", "MixedStacks", "NativeUnwinding",
        "PythonFrames", "ProcessImages",
        "Snapshots",
        "Accounting",
      ], swiftSettings: borrowing),
    .executableTarget(
      name: "caduceus",
      dependencies: [
        "Sampling", "Collectors",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),

    // Golden captures: replaying, recording and timing them.
    .target(
      name: "CaptureReplay",
      dependencies: [
        "Sampling", "Profiles", "PerfEvents", "PythonChain", "NativeUnwinding", "PythonFrames",
        "ProcessImages",
        "Snapshots",
      ], path: "Tests/CaptureReplay", swiftSettings: borrowing),
    .executableTarget(
      name: "RecordCapture",
      dependencies: [
        "CaptureReplay", "Sampling", "PerfEvents", "NativeUnwinding", "PythonFrames", "ProcessImages",
        "Snapshots",
      ], path: "Tests/RecordCapture", exclude: ["record.sh"], swiftSettings: borrowing),
    .executableTarget(
      name: "Benchmarks",
      dependencies: [
        "CaptureReplay", "FlameGraphSupport", "Collectors", "Profiles", "Sampling", "PerfEvents",
        "MixedStacks",
        "NativeUnwinding", "PythonFrames",
        "ProcessImages",
        "Snapshots",
      ], path: "Tests/Benchmarks", swiftSettings: borrowing),

    // What the tests of several modules share: records and memory made by hand, second sources.
    .target(
      name: "TestSupport", dependencies: ["ProcessImages", "PythonChain"], path: "Tests/TestSupport",
      swiftSettings: strict),
    // Both ways of sampling in the very same interrupts.
    .target(
      name: "ProofOracle",
      dependencies: [
        "CaptureReplay", "PerfEvents", "PythonFrames", "ProcessImages", "NativeUnwinding", "Snapshots",
        "Accounting",
      ], path: "Tests/ProofOracle", swiftSettings: borrowing),
    .executableTarget(
      name: "RunProofOracle", dependencies: ["ProofOracle"], path: "Tests/RunProofOracle",
      swiftSettings: strict),

    // What the tests of the flame graph and its benchmark share: a browser, and profiles to draw.
    .target(
      name: "FlameGraphSupport", dependencies: ["Profiles", "Accounting", "TestSupport"],
      path: "Tests/FlameGraphSupport", swiftSettings: strict),
    .testTarget(name: "AccountingTests", dependencies: ["Accounting"], swiftSettings: strict),
    .testTarget(name: "ProfilesTests", dependencies: ["Profiles"], swiftSettings: strict),
    .testTarget(
      name: "CollectorsTests",
      dependencies: ["Collectors", "CaptureReplay", "FlameGraphSupport", "Sampling", "Profiles"],
      swiftSettings: strict),
    .testTarget(
      name: "ProcessImagesTests", dependencies: ["ProcessImages", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "PythonFramesTests", dependencies: ["PythonFrames"], swiftSettings: strict),
    // Real processes under the real kernel; they run the built command line.
    .testTarget(
      name: "LiveTests", dependencies: ["caduceus", "ProofOracle", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "SwitchProofTests", dependencies: ["SwitchProof", "Accounting"], swiftSettings: borrowing),
    .testTarget(
      name: "PerfEventsTests", dependencies: ["PerfEvents", "TestSupport"], swiftSettings: borrowing),
    .testTarget(
      name: "NativeUnwindingTests", dependencies: ["NativeUnwinding", "CaptureReplay", "TestSupport"],
      swiftSettings: borrowing),
    .testTarget(
      name: "MixedStacksTests", dependencies: ["MixedStacks", "CaptureReplay"], swiftSettings: borrowing),
    .testTarget(
      name: "SamplingTests",
      dependencies: ["Sampling", "Collectors", "CaptureReplay", "TestSupport", "caduceus"],
      swiftSettings: borrowing),
    // The eBPF program, compiled for the host.
    .target(name: "HostPythonChain", path: "Tests/HostPythonChain", cSettings: [.headerSearchPath(".")]),
    .testTarget(
      name: "PythonChainTests",
      dependencies: ["HostPythonChain", "PythonFrames", "PythonChain", "ProcessImages", "Accounting"],
      swiftSettings: strict),
  ]
)
