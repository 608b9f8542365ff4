//! Habits that hold file by file.

use super::lexer::Token;
use super::{Finding, Source};

/// The only places for `unsafe`: the kernel's side, the door to it, and where the types they share
/// are declared plain.
const UNSAFE_PLACES: [&str; 3] =
    ["dispa-ebpf/src/", "dispa-user/src/kernel/", "dispa-common/src/lib.rs"];

/// Code that is never left behind, and why.
const LEFT_BEHIND: [(&[&str], &str); 3] = [
    (&["todo", "!"], "todo!: nothing here is half done"),
    (&["dbg", "!"], "dbg!: meant for debugging alone"),
    (&["#", "[", "ignore"], "#[ignore]: a test that cannot run fails"),
];

/// What a file breaks.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !source.text.starts_with("//!") {
        findings.push(source.finding(1, "it does not open with `//!` and its duty"));
    }
    let tokens = source.tokens();
    for (at, token) in tokens.iter().enumerate() {
        let broken = misplaced_unsafe(&source.path, token).or_else(|| left_behind(&tokens[at..]));
        findings.extend(broken.map(|message| source.finding(token.line, message)));
    }
    findings
}

fn misplaced_unsafe(path: &str, token: &Token<'_>) -> Option<&'static str> {
    let allowed = UNSAFE_PLACES.iter().any(|place| path.starts_with(place));
    (token.text == "unsafe" && !allowed).then_some("unsafe belongs in dispa-user's room `kernel`")
}

fn left_behind(tokens: &[Token<'_>]) -> Option<&'static str> {
    let starts = |words: &[&str]| {
        tokens.len() >= words.len() && tokens.iter().zip(words).all(|(it, word)| it.text == *word)
    };
    LEFT_BEHIND.iter().find(|(words, _)| starts(words)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        check(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_file_passes() {
        let text = "//! Duty.\n// unsafe, dbg!()\nconst A: &str = \"todo!\";\n#[test]\nfn f() {}";
        assert!(complaints("dispa-user/src/net/mod.rs", text).is_empty());
    }

    #[test]
    fn a_file_opens_with_its_duty() {
        assert_eq!(complaints("xtask/src/a.rs", "fn f() {}").len(), 1);
    }

    #[test]
    fn unsafe_has_its_places() {
        let text = "//! Duty.\n#[expect(unsafe_code)]\nunsafe fn f() {}";
        assert!(complaints("dispa-user/src/kernel/mod.rs", text).is_empty());
        let said = complaints("dispa-user/src/kernels.rs", text);
        assert_eq!(
            said,
            ["dispa-user/src/kernels.rs:3: unsafe belongs in dispa-user's room `kernel`"]
        );
    }

    #[test]
    fn nothing_is_left_behind() {
        let text =
            "//! Duty.\nfn f() { todo!() }\nfn g() { dbg!(1) }\n#[ignore = \"slow\"]\nfn h() {}";
        assert_eq!(complaints("tests/e2e/src/lib.rs", text).len(), 3);
    }
}
