//! As much of Rust's lexical grammar as it takes to see code and nothing else: words and signs,
//! without comments, strings, characters and lifetimes.
//!
//! Knows nothing of what the tokens mean; never fails, whatever it is given.

/// A word, `::`, or one sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The tokens of a file.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.rest.chars().next() {
        tokens.extend(lexer.token(first));
    }
    tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// Takes what begins with `first`; gives it back if it is a token.
    fn token(&mut self, first: char) -> Option<Token<'a>> {
        if self.rest.starts_with("//") {
            self.take_while(|it| it != '\n');
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if first == '"' {
            self.string();
        } else if first == '\'' {
            self.quote();
        } else if is_word(first) {
            return self.word();
        } else if self.rest.starts_with("::") {
            return Some(self.take(2));
        } else {
            let sign = self.take(first.len_utf8());
            return (!first.is_whitespace()).then_some(sign);
        }
        None
    }

    /// A word; the prefix of a literal belongs to the literal.
    fn word(&mut self) -> Option<Token<'a>> {
        let word = self.take_while(is_word);
        match word.text {
            "b" | "c" if self.rest.starts_with('"') => self.string(),
            "b" if self.rest.starts_with('\'') => self.quote(),
            "r" | "br" | "cr" if self.is_raw_string() => self.raw_string(),
            _ => return Some(word),
        }
        None
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
            } else if self.skip().is_none() {
                return;
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// From one `"` to the next that is not escaped.
    fn string(&mut self) {
        self.take(1);
        while let Some(character) = self.skip() {
            match character {
                '"' => return,
                '\\' => drop(self.skip()),
                _ => {}
            }
        }
    }

    fn is_raw_string(&self) -> bool {
        self.rest.trim_start_matches('#').starts_with('"')
    }

    /// From the first of its `#`s, or its `"`, to a `"` with as many `#`s.
    fn raw_string(&mut self) {
        let hashes = self.take_while(|it| it == '#').text;
        self.take(1);
        while let Some(character) = self.skip() {
            if character == '"' && self.rest.starts_with(hashes) {
                self.take(hashes.len());
                return;
            }
        }
    }

    /// A character, or a lifetime: only a character is closed by a second quote.
    fn quote(&mut self) {
        self.take(1);
        let mut ahead = self.rest.chars();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), _) => {
                self.skip();
                self.skip();
                self.take_while(|it| it != '\'');
                self.skip();
            }
            (Some(_), Some('\'')) => {
                self.skip();
                self.skip();
            }
            _ => drop(self.take_while(is_word)),
        }
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> Token<'a> {
        self.take(self.rest.find(|it| !belongs(it)).unwrap_or(self.rest.len()))
    }

    fn skip(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.take(character.len_utf8());
        Some(character)
    }

    fn take(&mut self, length: usize) -> Token<'a> {
        let (text, rest) = self.rest.split_at(length.min(self.rest.len()));
        let token = Token { text, line: self.line };
        self.line += text.matches('\n').count();
        self.rest = rest;
        token
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::{Token, tokens};

    fn words(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_and_signs_are_told_apart() {
        assert_eq!(
            words("use crate::net::{dial};"),
            ["use", "crate", "::", "net", "::", "{", "dial", "}", ";"]
        );
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(words("a // unsafe\nb /* x /* y */ unsafe */ c /* open"), ["a", "b", "c"]);
    }

    #[test]
    fn literals_are_not_code() {
        assert_eq!(
            words(r##"a("x\"unsafe", b"y", r#"z " z"#, c"w", '"', b'\'', '\\') b"##),
            ["a", "(", ",", ",", ",", ",", ",", ",", ")", "b"]
        );
    }

    #[test]
    fn a_lifetime_opens_no_literal() {
        assert_eq!(words("&'a str, 'outer: loop {}"), ["&", "str", ",", ":", "loop", "{", "}"]);
    }

    #[test]
    fn lines_are_counted_through_literals_and_comments() {
        let text = "one\n\"two\nthree\" /* four\n*/ five";
        assert_eq!(tokens(text).last(), Some(&Token { text: "five", line: 4 }));
    }
}
