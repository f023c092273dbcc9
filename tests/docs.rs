//! The documents say what the code says.
#![expect(clippy::disallowed_methods, reason = "reads the documents")]

use vhdx_mount::report::Code;

fn document(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(path).expect("a document")
}

#[test]
fn every_code_is_described_and_none_that_is_not_there() {
    let semantics = document("SEMANTICS.md");
    let table = semantics.split("## The codes").nth(1).expect("the table of codes");
    let table = table.split("\n## ").next().unwrap_or_default();
    let described: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(described, known, "docs/SEMANTICS.md lists the codes in the order of src/report.rs");
}
