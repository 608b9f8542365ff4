//! Paths in code that go through the crate's root, by `crate::` or by enough `super::`s.

use super::super::lexer::Token;

/// How many `super`s lead from a file to the crate's root; its path is given from `src`.
pub(super) fn depth(path: &str) -> usize {
    let parts = path.split('/').count();
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// The first names after the root, each with its line.
pub(super) fn from_the_root<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<(usize, &'a str)> {
    let mut nesting = Nesting::default();
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        nesting.pass(tokens, at);
        let is_start = at < 2 || tokens[at - 2].text != "super";
        if is_start && let Some(rest) = after_root(&tokens[at..], depth + nesting.modules()) {
            names.extend(first_names(rest));
        }
    }
    names
}

/// What follows the root, where a path begins here and goes through it.
fn after_root<'t, 'a>(path: &'t [Token<'a>], depth: usize) -> Option<&'t [Token<'a>]> {
    let leads = |pair: &[Token<'_>], word| pair[0].text == word && pair[1].text == "::";
    let mut pairs = path.chunks_exact(2);
    let supers = pairs.clone().take_while(|pair| leads(pair, "super")).count();
    if pairs.next().is_some_and(|pair| leads(pair, "crate")) {
        path.get(2..)
    } else if supers == depth {
        path.get(2 * depth..)
    } else {
        None
    }
}

/// The name that a path starts with, or all that a group of paths start with.
fn first_names<'a>(tokens: &[Token<'a>]) -> Vec<(usize, &'a str)> {
    let mut names = Vec::new();
    let mut braces = 0;
    let mut is_first = true;
    for token in tokens {
        match token.text {
            "{" => braces += 1,
            "}" => braces -= 1,
            "," => is_first = braces == 1,
            _ if is_first => {
                names.push((token.line, token.text));
                is_first = false;
            }
            _ => {}
        }
        if braces == 0 {
            break;
        }
    }
    names
}

/// The inline modules around a token.
#[derive(Default)]
struct Nesting {
    braces: usize,
    /// How many braces were open before each module's own.
    opened: Vec<usize>,
}

impl Nesting {
    fn pass(&mut self, tokens: &[Token<'_>], at: usize) {
        match tokens[at].text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    self.opened.push(self.braces);
                }
                self.braces += 1;
            }
            "}" => {
                self.braces = self.braces.saturating_sub(1);
                self.opened.pop_if(|braces| *braces == self.braces);
            }
            _ => {}
        }
    }

    fn modules(&self) -> usize {
        self.opened.len()
    }
}
