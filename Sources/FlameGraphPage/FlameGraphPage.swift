// The flame graph's page: plain HTML, CSS and scripts beside this file, embedded at build time and put together
// here. A module of its own, because the compiler takes seconds for the embedded bytes.

/// The page of a flame graph: one file that needs nothing else.
public enum FlameGraphPage {
  /// The scripts, each before the ones that use it.
  private static var scripts: [[UInt8]] {
    [
      PackageResources.data_js, PackageResources.weights_js, PackageResources.trees_js,
      PackageResources.layout_js, PackageResources.drawing_js, PackageResources.search_js,
      PackageResources.panels_js, PackageResources.view_js, PackageResources.controls_js,
      PackageResources.surface_js, PackageResources.main_js,
    ]
  }

  /// The page that shows `profile`: JSON as `data.js` unpacks it, in UTF-8 and without any `<`.
  public static func page(showing profile: [UInt8]) -> [UInt8] {
    var page: [UInt8] = []
    var rest = PackageResources.page_html[...]
    let parts: [(placeholder: String, content: [UInt8])] = [
      ("{{style}}", PackageResources.page_css), ("{{profile}}", profile),
      ("{{script}}", Array(#""use strict";"#.utf8) + [UInt8](scripts.joined())),
    ]
    // The placeholders stand in this order, and only the skeleton is searched.
    for part in parts {
      let placeholder = Array(part.placeholder.utf8)
      guard let place = rest.firstRange(of: placeholder) else { continue }
      page += rest[..<place.lowerBound]
      page += part.content
      rest = rest[place.upperBound...]
    }
    return page + rest
  }
}
