"""run.py DIST ROOTS: tests what `make dist` made in the folder DIST, and the documents that it holds.

Packages are installed in bare Debian systems, which are kept as archives in the folder ROOTS. The last line is
"N passed, N failed"; the status is not zero when a test failed or, in CI, could not run.
"""

import os
import pathlib
import sys
import unittest

import documents
import packages
import roots


def main() -> int:
    dist, cache = (pathlib.Path(each).resolve() for each in sys.argv[1:])
    packages.DIST = documents.DIST = roots.DIST = dist
    roots.CACHE = cache
    suite = unittest.TestSuite()
    for module in (packages, documents, roots):
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    # A test has several failures when it tried several things.
    bad = {id(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors}
    skipped = len(result.skipped)
    passed = result.testsRun - skipped - len(bad)
    if skipped and os.environ.get("CI"):
        print("A test that cannot run has failed here.")
        failed, skipped = len(bad) + skipped, 0
    else:
        failed = len(bad)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


sys.exit(main())
