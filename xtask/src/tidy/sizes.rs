//! Files and functions of unusual length: a question to answer, not a crime.

use super::lexer::Token;
use super::{Finding, Source};

/// Lines of a file, past which one asks.
const LONG_FILE: usize = 500;
/// Lines of a function, from `fn` to its closing brace, past which one asks.
const LONG_FUNCTION: usize = 60;

/// What to ask about a file.
pub(super) fn questions(source: &Source) -> Vec<Finding> {
    let tokens = source.tokens();
    let mut questions = Vec::new();
    let lines = source.text.lines().count();
    if lines > LONG_FILE {
        questions.push(source.finding(1, format!("{lines} lines: is it one file?")));
    }
    for (at, name) in functions(&tokens) {
        let start = tokens[at].line;
        let lines = last_line(&tokens[at..]).map_or(1, |end| end - start + 1);
        if lines > LONG_FUNCTION {
            let question = format!("`{name}` has {lines} lines: is it one function?");
            questions.push(source.finding(start, question));
        }
    }
    questions
}

/// Where functions are, and their names; a function pointer's type has none.
fn functions<'a>(tokens: &[Token<'a>]) -> impl Iterator<Item = (usize, &'a str)> {
    let pairs = tokens.windows(2).enumerate();
    pairs
        .filter(|(_, pair)| pair[0].text == "fn" && pair[1].text != "(")
        .map(|(at, pair)| (at, pair[1].text))
}

/// The line a function's body ends on; none where it has no body.
fn last_line(tokens: &[Token<'_>]) -> Option<usize> {
    let mut braces = 0;
    let mut brackets = 0;
    for token in tokens {
        match token.text {
            ";" if braces == 0 && brackets == 0 => return None,
            "[" => brackets += 1,
            "]" => brackets -= 1,
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if braces == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Source, questions};

    fn asked(text: String) -> Vec<String> {
        let source = Source { path: "a.rs".to_owned(), text };
        questions(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn short_things_raise_no_question() {
        assert!(asked("trait T { fn f(a: [u8; 4]); }\nfn g() {\n}\n".to_owned()).is_empty());
        assert!(asked(format!("fn f();\n{}", "const A: fn(u8) = g;\n".repeat(100))).is_empty());
    }

    #[test]
    fn a_long_function_is_asked_about() {
        let body = "    call(|| { 1 });\n".repeat(59);
        assert_eq!(
            asked(format!("\nfn f(a: [u8; 4]) {{\n{body}}}\n")),
            ["a.rs:2: `f` has 61 lines: is it one function?"]
        );
    }

    #[test]
    fn a_long_file_is_asked_about() {
        assert_eq!(asked("\n".repeat(501)), ["a.rs:1: 501 lines: is it one file?"]);
    }
}
