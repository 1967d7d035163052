//! Reads Rust as far as the rules need: words and punctuation without comments and literals, which of them are test
//! code, and the paths that are named.

use std::collections::BTreeSet;

/// A word or a punctuation character of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The word, or the one character. A literal is one `""`.
    pub(crate) text: String,
    /// Its line, from 1.
    pub(crate) line: usize,
}

/// A path that a file names, such as `crate::hub::park`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From the root of the crate, without `crate`.
    pub(crate) path: Vec<String>,
    /// Where.
    pub(crate) line: usize,
}

/// Splits `text` into tokens.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < characters.len() {
        let start = index;
        let c = at(index);
        let text = if c.is_whitespace() {
            index += 1;
            None
        } else if c == '/' && at(index + 1) == '/' {
            while index < characters.len() && at(index) != '\n' {
                index += 1;
            }
            None
        } else if c == '/' && at(index + 1) == '*' {
            index = end_of_comment(&characters, index);
            None
        } else if let Some(end) = end_of_literal(&characters, index) {
            index = end;
            Some(String::from("\"\""))
        } else if is_word(c) {
            // `r#type` is the word `type`.
            let raw = c == 'r' && at(index + 1) == '#' && is_word(at(index + 2));
            let first = if raw { index + 2 } else { index };
            index = first;
            while is_word(at(index)) {
                index += 1;
            }
            Some(characters[first..index].iter().collect())
        } else {
            index += 1;
            Some(c.to_string())
        };
        if let Some(text) = text {
            found.push(Token { text, line });
        }
        line += characters[start..index].iter().filter(|&&c| c == '\n').count();
    }
    found
}

/// The index after the block comment, possibly nested, that starts at `index`.
fn end_of_comment(characters: &[char], mut index: usize) -> usize {
    let mut depth = 0;
    while index < characters.len() {
        match (characters[index], characters.get(index + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                index += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    break;
                }
            }
            _ => index += 1,
        }
    }
    index
}

/// The index after the string or character literal that starts at `start`, if one does. A lifetime is none.
fn end_of_literal(characters: &[char], start: usize) -> Option<usize> {
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut index = start;
    if matches!(at(index), 'b' | 'c') && matches!(at(index + 1), '"' | '\'' | 'r') {
        index += 1;
    }
    if at(index) == 'r' && matches!(at(index + 1), '"' | '#') {
        let mut hashes = 0;
        while at(index + 1 + hashes) == '#' {
            hashes += 1;
        }
        if at(index + 1 + hashes) != '"' {
            return None; // a raw word
        }
        index += hashes + 2;
        while index < characters.len() {
            if at(index) == '"' && (1..=hashes).all(|n| at(index + n) == '#') {
                return Some(index + hashes + 1);
            }
            index += 1;
        }
        return Some(index);
    }
    let quote = at(index);
    match quote {
        '"' => {}
        '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => {}
        _ => return None,
    }
    index += 1;
    while index < characters.len() && at(index) != quote {
        index += if at(index) == '\\' { 2 } else { 1 };
    }
    Some(index + 1)
}

/// The index after the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Whether the attribute in `tokens` (from `#` on) keeps what follows out of every build but the tests'.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    let all = ["#", "[", "cfg", "(", "all", "("];
    words == ["#", "[", "cfg", "(", "test", ")", "]"]
        || words == ["#", "[", "test", "]"]
        || (words.starts_with(&all) && all_of(&words[all.len()..]).contains(&"test"))
}

/// The arguments of an `all(…)` that stand directly in it.
fn all_of<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut depth = 0;
    let mut direct = Vec::new();
    for &word in words {
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth == 0 => direct.push(word),
            _ => {}
        }
    }
    direct
}

/// What of a file is not test code, and the modules that it declares for tests only (`#[cfg(test)] mod tests;`).
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, BTreeSet<String>) {
    let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let (mut kept, mut test_modules) = (Vec::new(), BTreeSet::new());
    let mut index = 0;
    while index < tokens.len() {
        if word(index) != "#" || word(index + 1) != "[" {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        }
        let start = index;
        let mut for_tests = false;
        while word(index) == "#" && word(index + 1) == "[" {
            let end = closing(tokens, index + 1);
            for_tests |= is_for_tests(&tokens[index..end]);
            index = end;
        }
        if !for_tests {
            kept.extend_from_slice(&tokens[start..index]);
            continue;
        }
        let item = index;
        while !matches!(word(index), "" | ";" | "{" | "}") {
            index = if matches!(word(index), "(" | "[") {
                closing(tokens, index)
            } else {
                index + 1
            };
        }
        if let Some(found) = (item..index)
            .find(|&at| word(at) == "mod")
            .filter(|_| word(index) == ";")
        {
            test_modules.insert(word(found + 1).to_owned());
        }
        index = match word(index) {
            // A `use` with braces ends at its semicolon.
            "{" if (item..index).any(|at| word(at) == "use") => closing(tokens, index) + 1,
            "{" => closing(tokens, index),
            ";" => index + 1,
            _ => index,
        };
    }
    (kept, test_modules)
}

/// Every path in `tokens` that begins with `crate`, `super` or `self`, seen from the module `own`.
pub(crate) fn named(tokens: &[Token], own: &[String]) -> Vec<Named> {
    let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let separator = |index: usize| word(index) == ":" && word(index + 1) == ":";
    let mut found = Vec::new();
    // The modules written out within this file around the present token, and the depth at which each began.
    let mut inner: Vec<(String, usize)> = Vec::new();
    let mut depth = 0usize;
    let mut index = 0;
    while index < tokens.len() {
        match word(index) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inner.last().is_some_and(|(_, began)| *began == depth) {
                    inner.pop();
                }
            }
            "mod" if word(index + 2) == "{" => inner.push((word(index + 1).to_owned(), depth)),
            // `pub(in crate::a)` says who may look, and looks nowhere.
            "in" if index > 1 && word(index - 1) == "(" && word(index - 2) == "pub" => {
                while !matches!(word(index), ")" | "") {
                    index += 1;
                }
            }
            first @ ("crate" | "super" | "self") if separator(index + 1) && !(index > 1 && separator(index - 2)) => {
                let mut base: Vec<String> = own.to_vec();
                base.extend(inner.iter().map(|(name, _)| name.clone()));
                match first {
                    "crate" => base.clear(),
                    "super" => drop(base.pop()),
                    _ => {}
                }
                index = follow(tokens, index + 3, base, &mut found);
                continue;
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// Every path that a `use` in `tokens` names, seen from the module `own`: what does not say where it begins begins there.
pub(crate) fn used(tokens: &[Token], own: &[String]) -> Vec<Named> {
    let mut found = Vec::new();
    for (index, _) in tokens.iter().enumerate().filter(|(_, token)| token.text == "use") {
        let next = tokens.get(index + 1).map_or("", |token| token.text.as_str());
        if next == "crate" {
            follow(tokens, index + 4, Vec::new(), &mut found);
        } else {
            follow(tokens, index + 1, own.to_vec(), &mut found);
        }
    }
    found
}

/// The items of a file, attributes left out; an item ends at its semicolon, or with its braces.
pub(crate) fn items(tokens: &[Token]) -> Vec<&[Token]> {
    let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if word(index) == "#" {
            let open = if word(index + 1) == "!" { index + 2 } else { index + 1 };
            index = closing(tokens, open);
            continue;
        }
        let start = index;
        let mut is_use = false;
        while index < tokens.len() {
            is_use |= word(index) == "use";
            let braces = word(index) == "{";
            let end = word(index) == ";";
            index = if matches!(word(index), "(" | "[" | "{") {
                closing(tokens, index)
            } else {
                index + 1
            };
            if end || (braces && !is_use) {
                break;
            }
        }
        found.push(&tokens[start..index]);
    }
    found
}

/// Follows the path, or the tree of a `use`, that goes on at `index` below `base`; returns the index after it.
fn follow(tokens: &[Token], mut index: usize, mut base: Vec<String>, found: &mut Vec<Named>) -> usize {
    let word = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    loop {
        let line = tokens.get(index).map_or(0, |token| token.line);
        match word(index) {
            "{" => {
                index += 1;
                while !matches!(word(index), "}" | "") {
                    index = follow(tokens, index, base.clone(), found);
                    // An alias, then the comma.
                    while !matches!(word(index), "}" | "," | "") {
                        index += 1;
                    }
                    index += usize::from(word(index) == ",");
                }
                return index + 1;
            }
            "super" => drop(base.pop()),
            "self" => {}
            "*" => {
                base.push(String::from("*"));
                found.push(Named { path: base, line });
                return index + 1;
            }
            name if name.starts_with(|c: char| c == '_' || c.is_alphabetic()) => base.push(name.to_owned()),
            // `path::<Type>`: the path ended before.
            _ => {
                found.push(Named { path: base, line });
                return index;
            }
        }
        index += 1;
        if !(word(index) == ":" && word(index + 1) == ":") {
            found.push(Named { path: base, line });
            return index;
        }
        index += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens' texts, joined by blanks.
    fn joined(tokens: &[Token]) -> String {
        tokens
            .iter()
            .map(|token| token.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The paths named in `text`, seen from `own`.
    fn paths(text: &str, own: &str) -> Vec<String> {
        let own: Vec<String> = own.split("::").map(str::to_owned).collect();
        named(&tokens(text), &own)
            .into_iter()
            .map(|named| named.path.join("::"))
            .collect()
    }

    #[test]
    fn comments_and_literals_are_no_words() {
        let text =
            "a /* crate::b /* c */ d */ \"crate::e \\\" f\" // g\nr#\"h\"i\"# b'\\'' 'x' '\"' 'life r#type b\"k\" end";
        assert_eq!(joined(&tokens(text)), "a \"\" \"\" \"\" \"\" \"\" ' life type \"\" end");
    }

    #[test]
    fn lines_are_counted_over_comments_and_strings() {
        let found = tokens("/* one\n two */ \"three\n four\"\n five");
        assert_eq!(
            found.last().map(|token| (token.text.as_str(), token.line)),
            Some(("five", 4))
        );
    }

    #[test]
    fn test_code_is_left_out_and_nothing_else() {
        let text = "
            use a; #[cfg(test)] use b::{c, d}; #[cfg(not(test))] fn e() {}
            #[cfg(test)] mod f; #[cfg(all(test, loom))] mod g { fn h() { {} } } #[cfg(any(test, i))] fn j() {}
            #[cfg(test)] #[expect(k, reason = \"l\")] mod m { n } #[cfg(all(not(test), o))] fn p() {}";
        let (kept, modules) = without_tests(&tokens(text));
        let kept = joined(&kept);
        assert!(
            ["a", "e", "j", "p"]
                .iter()
                .all(|word| kept.split(' ').any(|kept| kept == *word)),
            "{kept}"
        );
        assert!(
            ["b", "c", "f", "g", "h", "m", "n"]
                .iter()
                .all(|word| kept.split(' ').all(|kept| kept != *word)),
            "{kept}"
        );
        assert_eq!(modules.into_iter().collect::<Vec<_>>(), ["f"]);
    }

    #[test]
    fn paths_are_resolved() {
        assert_eq!(
            paths("use crate::a::{b::c, d as e, self, f::{g, h}};", "x"),
            ["a::b::c", "a::d", "a", "a::f::g", "a::f::h"]
        );
        assert_eq!(
            paths("use super::y::Z; use super::super::w; use self::v;", "x::q"),
            ["x::y::Z", "w", "x::q::v"]
        );
        assert_eq!(
            paths(
                "fn f(a: &crate::b::C<crate::d::E>) { crate::g::h::<u8>(self.i); crate::j!(); }",
                "x"
            ),
            ["b::C", "d::E", "g::h", "j"]
        );
        assert_eq!(
            paths(
                "mod inner { use super::a; } use super::b; pub(crate) fn c() {} pub(in crate::d) fn e() {}",
                "x::y"
            ),
            ["x::y::a", "x::b"]
        );
        assert_eq!(paths("use crate::a::*;", "x"), ["a::*"]);
    }

    #[test]
    fn a_path_of_another_crate_is_none_of_ours() {
        assert_eq!(
            paths(
                "use std::self_::x; use std::{self, io}; $crate::a::b(); x.crate_::y",
                "z"
            ),
            ["a::b"]
        );
    }
}
