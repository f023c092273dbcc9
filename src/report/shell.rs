//! Paths in commands that are meant to be pasted.

use std::path::Path;

/// A path as one word of a command for the shell of this system, so that it comes through whole, and is not taken for a switch.
///
/// On Windows no spelling suits both shells: what `cmd` would put in for `%NAME%` it does, where there is such a variable, and what
/// PowerShell would put in for `$name` is kept from it by quotes that `cmd` does not know.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let spelt = path.as_os_str().as_encoded_bytes();
    if cfg!(windows) { for_windows(&String::from_utf8_lossy(spelt)) } else { for_unix(spelt) }
}

/// For sh; where no quotes can hold it, for the shells that know `$'…'`, which are all that people type into.
fn for_unix(path: &[u8]) -> String {
    let path = if path.starts_with(b"-") { [b"./", path].concat() } else { path.to_owned() };
    match std::str::from_utf8(&path) {
        Ok(text) if is_plain(text, "/:._-+,@%") => text.to_owned(),
        Ok(text) if !text.chars().any(acts_on_the_terminal) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut word = "$'".to_owned();
            let octal = |byte: &u8| format!("\\{byte:03o}");
            for chunk in path.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '\'' | '\\' => word.extend(['\\', c]),
                        c if acts_on_the_terminal(c) => {
                            word.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(octal));
                        }
                        c => word.push(c),
                    }
                }
                word.extend(chunk.invalid().iter().map(octal));
            }
            word + "'"
        }
    }
}

/// For `cmd` and PowerShell. Double quotes mean the same to both, but that PowerShell puts in variables there.
fn for_windows(path: &str) -> String {
    let path = if path.starts_with('-') { format!(".\\{path}") } else { path.to_owned() };
    if is_plain(&path, "/\\:._-+") {
        return path;
    }
    // A backslash before a quote is taken for one that keeps it from being one.
    let end = if path.ends_with('\\') { "\\" } else { "" };
    let follows_dollar = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || "_{($^?:".contains(c));
    let has_variable = path.split('$').skip(1).any(|rest| rest.is_empty() || follows_dollar(rest));
    // PowerShell takes what printers set for quotes as quotes.
    let ends_quotes = |c: char| matches!(c, '`' | '\u{201c}' | '\u{201d}' | '\u{201e}');
    if !has_variable && !path.contains(ends_quotes) {
        return format!("\"{path}{end}\"");
    }
    let mut word = "'".to_owned();
    for c in path.chars() {
        if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            word.push(c);
        }
        word.push(c);
    }
    word + end + "'"
}

/// Whether no shell sees more in it than letters; in `=` some do where a word begins with it.
fn is_plain(text: &str, others: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '=' || others.contains(c);
    !text.is_empty() && !text.starts_with('=') && text.chars().all(is_letter)
}

/// Control characters, and the marks that turn the direction of writing: a terminal does not show them.
fn acts_on_the_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_sh_holds_the_path() {
        let spelt = |path: &str| for_unix(path.as_bytes());
        for plain in ["/vms/a-b_1.avhdx", "VM.vhdx:disk-size=5", "Größe/x:1,2@3%4+5.vhdx"] {
            assert_eq!(spelt(plain), plain);
        }
        assert_eq!(spelt("/vms/it's $HOME.vhdx"), r"'/vms/it'\''s $HOME.vhdx'");
        assert_eq!(spelt(r"/vms/a\b.vhdx"), r"'/vms/a\b.vhdx'", "a backslash is a letter here");
        assert_eq!((spelt("=x"), spelt("~"), spelt("")), ("'=x'".into(), "'~'".into(), "''".into()));
        assert_eq!((spelt("-x.vhdx"), spelt("-a b")), ("./-x.vhdx".into(), "'./-a b'".into()));
        assert_eq!(spelt("a\n'\u{202e}1\\"), r"$'a\012\'\342\200\2561\\'");
        assert_eq!(for_unix(b"/v/\xff7"), r"$'/v/\3777'");
    }

    #[test]
    fn a_word_for_windows_holds_the_path_in_both_shells_where_one_can() {
        for (path, word) in [
            (r"C:\VMs\VM.vhdx", r"C:\VMs\VM.vhdx"),
            (r"C:\Virtual Hard Disks\VM.vhdx", r#""C:\Virtual Hard Disks\VM.vhdx""#),
            (r"C:\50%\a,b;c=d@e'f&g.vhdx", r#""C:\50%\a,b;c=d@e'f&g.vhdx""#),
            (r"\\srv\c$\VM 1.vhdx", r#""\\srv\c$\VM 1.vhdx""#),
            (r"C:\$old's\a.vhdx", r"'C:\$old''s\a.vhdx'"),
            ("C:\\a`b\u{2019}.vhdx", "'C:\\a`b\u{2019}\u{2019}.vhdx'"),
            (r"C:\my mount\", r#""C:\my mount\\""#),
            ("-x.vhdx", r".\-x.vhdx"),
            ("", r#""""#),
        ] {
            assert_eq!(for_windows(path), word);
        }
    }
}
