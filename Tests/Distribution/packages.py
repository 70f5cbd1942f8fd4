"""The tarball and the Debian package as files: what is in them, and that packing the same program gives them again."""

import base64
import hashlib
import pathlib
import re
import subprocess
import tarfile
import tempfile
import unittest

DIST: pathlib.Path
SOURCE = pathlib.Path(__file__).resolve().parents[2]

# Where Debian's policy and the shells look for each.
BINARY = "bin/caduceus"
INSTALLED = {
    BINARY: 0o755,
    "share/bash-completion/completions/caduceus": 0o644,
    "share/fish/vendor_completions.d/caduceus.fish": 0o644,
    "share/doc/caduceus/copyright": 0o644,
}
TARBALL = INSTALLED | {
    "README.md": 0o644,
    "share/man/man1/caduceus.1": 0o644,
    "share/zsh/site-functions/_caduceus": 0o644,
}
PACKAGE = INSTALLED | {
    "share/doc/caduceus/README.md": 0o644,
    "share/doc/caduceus/changelog.gz": 0o644,
    "share/man/man1/caduceus.1.gz": 0o644,
    "share/zsh/vendor-completions/_caduceus": 0o644,
}


def output(*command: str | pathlib.Path, **options) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def only(pattern: str) -> pathlib.Path:
    """The one file in the folder that is called so."""
    found = sorted(DIST.glob(pattern))
    assert len(found) == 1, f"{pattern} in {DIST}: {found}"
    return found[0]


def version_in_source() -> str:
    text = (SOURCE / "Sources/caduceus/Caduceus.swift").read_text()
    return re.search(r'version: "([^"]+)"', text)[1]


class Packages(unittest.TestCase):
    def tree(self) -> pathlib.Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return pathlib.Path(folder.name)

    def test_version_is_the_one_in_the_source(self):
        version = version_in_source()
        self.assertEqual(only("*.tar.gz").name, f"caduceus-{version}-x86_64-linux.tar.gz")
        self.assertEqual(only("*.deb").name, f"caduceus_{version}_amd64.deb")
        self.assertEqual(output("dpkg-deb", "--field", only("*.deb"), "Version").strip(), version)

    def test_tarball_holds_one_folder_that_belongs_to_root(self):
        with tarfile.open(only("*.tar.gz")) as archive:
            members = archive.getmembers()
        top = f"caduceus-{version_in_source()}-x86_64-linux"
        self.assertEqual({member.name.split("/")[0] for member in members}, {top})
        self.assertEqual({(member.uid, member.gid) for member in members}, {(0, 0)})
        files = {member.name.removeprefix(top + "/"): member.mode for member in members if member.isfile()}
        licences = {name for name in files if name.startswith("share/doc/caduceus/licences/")}
        self.assertGreater(len(licences), 0)
        self.assertEqual({name: files[name] for name in files if name not in licences}, TARBALL)

    def test_package_holds_its_files_and_no_configuration(self):
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", only("*.deb")], check=True, stdout=subprocess.PIPE).stdout
        folder = self.tree()
        (folder / "tar").write_bytes(tar)
        with tarfile.open(folder / "tar") as archive:
            members = archive.getmembers()
        self.assertEqual({(member.uid, member.gid, member.uname) for member in members}, {(0, 0, "root")})
        files = {member.name.removeprefix("./usr/"): member.mode for member in members if member.isfile()}
        files = {name: mode for name, mode in files.items() if "/licences/" not in name}
        self.assertEqual(files, PACKAGE)
        subprocess.run(["dpkg-deb", "--control", only("*.deb"), folder / "control"], check=True)
        self.assertEqual({path.name for path in (folder / "control").iterdir()}, {"control", "md5sums"})

    def test_sums_in_the_package_are_those_of_its_files(self):
        folder = self.tree()
        subprocess.run(["dpkg-deb", "--raw-extract", only("*.deb"), folder], check=True)
        sums = {}
        for line in (folder / "DEBIAN/md5sums").read_text().splitlines():
            digest, name = line.split("  ", 1)
            sums[name] = digest
        found = {
            str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file() and path.parent.name != "DEBIAN"
        }
        self.assertEqual(sums, found)

    def test_only_the_c_library_is_needed(self):
        # `ldd` is what the dynamic loader itself says.
        folder = self.tree()
        subprocess.run(["dpkg-deb", "--extract", only("*.deb"), folder], check=True)
        program = folder / "usr" / BINARY
        libraries = {line.split()[0] for line in output("ldd", program).splitlines()}
        self.assertEqual(
            libraries, {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "/lib64/ld-linux-x86-64.so.2"})
        dynamic = output("readelf", "--dynamic", "--wide", program)
        # Else libraries in a folder beside the program would be loaded.
        self.assertNotRegex(dynamic, r"\((RPATH|RUNPATH)\)")
        depends = output("dpkg-deb", "--field", only("*.deb"), "Depends").strip()
        # libc6 itself depends on libgcc-s1.
        self.assertRegex(depends, r"^libc6 \(>= 2\.\d+\)(, libgcc-s1 \(>= [\d.]+\))?$")

    def test_nothing_names_the_folder_it_was_built_in(self):
        # The eBPF program is inside in Base64: three bytes become four characters; the name begins at any of three.
        name = f"{SOURCE}/Kernel/PythonChain".encode()
        forms = [f"{SOURCE}/".encode()] + [base64.b64encode(bytes(start) + name)[4:-4] for start in range(3)]
        with tarfile.open(only("*.tar.gz")) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    content = archive.extractfile(member).read()
                    self.assertEqual([form for form in forms if form in content], [], member.name)

    def test_uninstall_removes_what_install_made(self):
        folder = self.tree()
        place = ["PREFIX=/opt/some where", f"DESTDIR={folder}"]
        subprocess.run(["make", "install", *place], cwd=SOURCE, check=True, stdout=subprocess.DEVNULL)
        prefix = folder / "opt/some where"
        files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
        self.assertEqual(files, {name for name in TARBALL if name != "README.md" and "/doc/" not in name})
        subprocess.run(["make", "uninstall", *place], cwd=SOURCE, check=True, stdout=subprocess.DEVNULL)
        self.assertEqual([path for path in folder.rglob("*") if path.is_file()], [])

    def test_packing_again_gives_the_same_files(self):
        again = self.tree() / "dist"
        subprocess.run(["make", "dist", f"DIST={again}"], cwd=SOURCE, check=True, stdout=subprocess.DEVNULL)
        for path in DIST.iterdir():
            self.assertEqual(
                hashlib.sha256(path.read_bytes()).hexdigest(),
                hashlib.sha256((again / path.name).read_bytes()).hexdigest(), path.name)
