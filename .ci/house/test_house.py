"""A check that cannot fail proves nothing: each rule is shown a house that breaks it, and one that keeps it."""

import unittest

from . import code, files, packages, rooms, rust

ROOT = '''//! The library.
//!
//! The rooms, from the ground up (docs/ARCHITECTURE.md):
//! [`error`], [`bytes`], [`image`],
//! [`mod@chain`].
//!
//! Not a room: [`other`].
pub use error::{Error, Result};
pub use mount_api::Faults;
'''


def room_findings(path, text):
    return [str(finding) for finding in rooms.check({"src/lib.rs": ROOT, path: text})]


class Rooms(unittest.TestCase):
    def test_the_list_is_one_paragraph(self):
        self.assertEqual(rooms.listed_rooms(ROOT), ["error", "bytes", "image", "chain"])

    def test_upwards_is_allowed(self):
        text = "use crate::{Faults, bytes::{Guid, self}, error::Result as R};\nuse super::slice::Slice;\nuse crate::Error;"
        self.assertEqual(room_findings("src/image/file.rs", text), [])

    def test_each_way_downwards_is_found(self):
        for text in (
            "use crate::chain::Link;",
            "use crate::chain;",
            "use crate::{error::Error, chain::{Link, merge}};",
            "use crate::{\n    bytes,\n    chain as c,\n};",
            "fn f() { crate::chain::merge() }",
            "fn f() -> Vec<crate::chain::Link<'static>> { todo!() }",
            "use super::super::chain::Link;",
            "use super::super::{bytes, chain};",
            "mod tests { use super::super::super::chain::Link; }",
            "pub use crate::cli::run;",
        ):
            with self.subTest(text):
                found = room_findings("src/image/file.rs", text)
                self.assertEqual(len(found), 1, found)
                self.assertIn("room `image` imports `c", found[0])

    def test_a_name_at_the_root_counts_as_its_room(self):
        root = ROOT + "pub use chain::Link;\n"
        found = rooms.check({"src/lib.rs": root, "src/bytes.rs": "\nuse crate::Link;"})
        self.assertEqual([str(f) for f in found], ["src/bytes.rs:2: room `bytes` imports `chain`, which stands below it"])

    def test_comments_and_texts_are_no_imports(self):
        text = '''//! [`crate::chain`]
/* crate::chain /* crate::chain::x */ crate::chain */
const A: &str = "crate::chain::x"; const B: &str = r#"crate::chain " crate::chain"#; const C: char = '"';
fn f<'a>(x: &'a str) -> char { '\\'' } // crate::chain::y
'''
        self.assertEqual(room_findings("src/image/mod.rs", text), [])

    def test_a_room_that_is_not_listed_is_named(self):
        self.assertEqual(len(room_findings("src/other/mod.rs", "")), 1)

    def test_everything_at_once_is_refused(self):
        self.assertEqual(len(room_findings("src/bytes.rs", "use crate::*;")), 1)

    def test_the_program_may_use_all(self):
        self.assertEqual(room_findings("src/cli/mod.rs", "use crate::chain::Link;"), [])


class Tokens(unittest.TestCase):
    def test_lines_are_counted_through_comments_and_texts(self):
        stream = rust.tokens('/* a\n b */ "c\nd" r"e\n" x\n// f\n\'\\n\' y')
        self.assertEqual([(t.text, t.line) for t in stream], [("x", 4), ("y", 6)])

    def test_a_lifetime_is_no_character(self):
        self.assertEqual([t.text for t in rust.tokens("<'a, 'b> 'c' b'\\'' x")], ["<", ",", ">", "x"])


class Code(unittest.TestCase):
    def texts(self, path, text):
        return [finding.text for finding in code.check(path, text)]

    def test_unsafe(self):
        text = 'fn f() { unsafe { g() } } // unsafe\n#![forbid(unsafe_code)]'
        self.assertEqual(len(self.texts("src/bytes.rs", text)), 1)
        self.assertEqual(self.texts("mount-windows/src/lib.rs", text), [])

    def test_forbid_at_the_root(self):
        self.assertEqual(code.check_root("src/lib.rs", "//! Doc.\n#![forbid(unsafe_code)]"), [])
        self.assertEqual(len(code.check_root("src/lib.rs", "//! #![forbid(unsafe_code)]")), 1)

    def test_ignored_tests(self):
        for text in ("#[ignore]", '#[ignore = "slow"]', "#[cfg_attr(windows, ignore)]", "/// ```ignore", "//! ```rust,ignore"):
            with self.subTest(text):
                self.assertEqual(len(self.texts("tests/a.rs", text)), 1)
        self.assertEqual(self.texts("tests/a.rs", "fn ignore() {} /// ```no_run"), [])

    def test_prints(self):
        for text in ('println!("x")', 'anstream::eprintln!("x")', "eprint! {}", "use anstream::println; println!()"):
            with self.subTest(text):
                self.assertEqual(len(self.texts("src/cli/say.rs", text)), 1)
                self.assertEqual(self.texts("examples/demo.rs", text), [])
        self.assertEqual(self.texts("src/cli/say.rs", 'tell!("println!"); fn print() {} // println!()'), [])

    def test_doors(self):
        good = '#![expect(clippy::disallowed_types, reason = "forges images")]'
        for path in ("src/image/file.rs", "tests/chain.rs", "mount-linux/tests/mount.rs", "fixtures/src/host.rs"):
            self.assertEqual(self.texts(path, good), [], path)
        self.assertEqual(len(self.texts("src/chain/locate.rs", good)), 1)
        self.assertEqual(self.texts("src/chain/locate.rs", f"#[cfg(test)] mod tests {{ {good} }}"), [])
        self.assertEqual(self.texts("src/chain/locate.rs", f"#[cfg(test)]\n{good.replace('!', '')}\nmod tests {{}}"), [])

    def test_bad_exceptions(self):
        for text in (
            '#[allow(clippy::disallowed_types, reason = "x")]',
            "#[expect(clippy::disallowed_methods)]",
            '#[cfg_attr(test, allow(clippy::disallowed_methods, reason = "x"))]',
        ):
            with self.subTest(text):
                self.assertEqual(len(self.texts("tests/a.rs", text)), 1)

    def test_length(self):
        self.assertEqual(len(code.check("src/a.rs", "\n" * 801)), 1)
        self.assertEqual(code.check("src/a.rs", "\n" * 800), [])
        self.assertEqual(len(code.warnings("src/a.rs", "\n" * 501)), 1)


class Files(unittest.TestCase):
    def test_names(self):
        for path in ("src/core.rs", "src/fs/utils/mod.rs", "tests/common/mod.rs", "src/chain/link_helpers.rs"):
            with self.subTest(path):
                self.assertEqual(len(files.check(path, b"")), 1)
        self.assertEqual(files.check("src/score.rs", b""), [])

    def test_images(self):
        for path, content in (("a.avhdx", b""), ("a.bin", b"vhdxfile..."), ("a.bin", b"x\0y"), ("a.txt", b"x" * 600_000)):
            with self.subTest(path):
                self.assertEqual(len(files.check(path, content)), 1)

    def test_machine_paths(self):
        for text in ("open(\"/{}/x\")".format("home"), "see /{}/shared".format("work"), "a = /{}/x".format("root")):
            with self.subTest(text):
                self.assertEqual(len(files.check("docs/a.md", text.encode())), 1)
        temporary = "\"/{}/x\"".format("tmp").encode()
        self.assertEqual(len(files.check("tests/a.rs", temporary)), 1)
        self.assertEqual(files.check("docs/a.md", temporary), [])
        self.assertEqual(files.check("docs/a.md", b"https://example.org/work/x framework/x"), [])


class Packages(unittest.TestCase):
    @staticmethod
    def metadata(crate, **dependency):
        every = {"kind": None, "optional": False, "target": None, **dependency}
        crates = [{"name": name, "dependencies": [every] if name == crate else []} for name in packages.ALLOWED]
        return {"packages": crates, "workspace_members": ["a"], "workspace_default_members": ["a"]}

    def test_what_stands(self):
        for crate, dependency in (
            ("vhdx-mount", {"name": "mount-linux", "optional": True, "target": 'cfg(target_os = "linux")'}),
            ("vhdx-mount", {"name": "fixtures", "kind": "dev"}),
            ("mount-windows", {"name": "mount-api"}),
            ("fixtures", {"name": "crc32c"}),
        ):
            with self.subTest(crate=crate, dependency=dependency):
                self.assertEqual(packages.check(self.metadata(crate, **dependency)), [])

    def test_what_does_not(self):
        for crate, dependency in (
            ("vhdx-mount", {"name": "fixtures"}),
            ("vhdx-mount", {"name": "clap"}),
            ("vhdx-mount", {"name": "mount-windows", "optional": True}),
            ("mount-linux", {"name": "vhdx-mount"}),
            ("mount-linux", {"name": "mount-windows"}),
            ("mount-api", {"name": "log"}),
            ("fixtures", {"name": "vhdx-mount"}),
            ("fixtures", {"name": "vhdx-mount", "kind": "dev"}),
        ):
            with self.subTest(crate=crate, dependency=dependency):
                self.assertNotEqual(packages.check(self.metadata(crate, **dependency)), [])

    def test_cargo_test_tests_all(self):
        metadata = self.metadata("fixtures", name="crc32c")
        metadata["workspace_default_members"] = []
        self.assertEqual(len(packages.check(metadata)), 1)

    def test_lints(self):
        self.assertEqual(packages.check_manifest("a/Cargo.toml", "[lints]\nworkspace = true"), [])
        self.assertEqual(len(packages.check_manifest("a/Cargo.toml", "[package]\nname = 'a'")), 1)

    def test_lock(self):
        lock = "[[package]]\nname = 'ours'\n[[package]]\nname = 'theirs'\nsource = '{}'"
        self.assertEqual(packages.check_lock("Cargo.lock", lock.format(packages.REGISTRY)), [])
        self.assertEqual(len(packages.check_lock("Cargo.lock", lock.format("git+https://example.org/x"))), 1)


if __name__ == "__main__":
    unittest.main()
