//! JSON written in one form only: the same value always gives the same bytes, different values never do.
//!
//! Object members are sorted and the last of equal names counts; blanks go; escapes are resolved; numbers are written by their
//! exact decimal value, never through a float, so `1.0` is `1` and 9007199254740993 is not 9007199254740992. Every value is
//! marked with its type and texts with their length, so nothing can be read in two ways.
//!
//! The text is expected to be JSON already; anything else gives `None` or some bytes, never a panic.

use std::borrow::Cow;

use memchr::memchr2;

/// Deepest nesting; a request's own limit is lower.
const MAX_DEPTH: usize = 128;

/// Appends a text with its type and length.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_marked(b's', text, out);
}

/// Appends the canonical form of one JSON value; `None` when it has none.
pub(super) fn write_value(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.value(MAX_DEPTH, out)?;
    scanner.skip_blanks();
    (scanner.at == text.len()).then_some(())
}

fn write_marked(mark: u8, text: &str, out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn value(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.skip_blanks();
        match self.peek()? {
            b'{' => self.object(depth, out),
            b'[' => self.array(depth, out),
            b'"' => {
                let text = self.string()?;
                write_text(&text, out);
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                let number = canonical_number(self.token())?;
                write_marked(b'n', &number, out);
                Some(())
            }
            _ => match self.token() {
                word @ ("true" | "false" | "null") => {
                    write_marked(b'w', word, out);
                    Some(())
                }
                _ => None,
            },
        }
    }

    fn array(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        self.take(b'[')?;
        out.push(b'[');
        if !self.next_is(b']') {
            loop {
                self.value(depth, out)?;
                if !self.next_is(b',') {
                    break;
                }
                self.take(b',')?;
            }
        }
        self.take(b']')?;
        out.push(b']');
        Some(())
    }

    fn object(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let mut members = self.members(depth)?;
        // The sort is stable, so the last of equal names stays last.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        out.push(b'{');
        let mut members = members.into_iter().peekable();
        while let Some((name, value)) = members.next() {
            if members.peek().is_some_and(|(next, _)| *next == name) {
                continue;
            }
            write_text(&name, out);
            out.extend_from_slice(&value);
        }
        out.push(b'}');
        Some(())
    }

    fn members(&mut self, depth: usize) -> Option<Vec<(Cow<'t, str>, Vec<u8>)>> {
        let mut members = Vec::new();
        self.take(b'{')?;
        if !self.next_is(b'}') {
            loop {
                self.skip_blanks();
                let name = self.string()?;
                self.take(b':')?;
                let mut value = Vec::new();
                self.value(depth, &mut value)?;
                members.push((name, value));
                if !self.next_is(b',') {
                    break;
                }
                self.take(b',')?;
            }
        }
        self.take(b'}')?;
        Some(members)
    }

    /// Reads a string, escapes resolved.
    fn string(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        self.take(b'"')?;
        let mut has_escapes = false;
        loop {
            let found = memchr2(b'"', b'\\', self.text.as_bytes().get(self.at..)?)?;
            self.at += found;
            if self.peek()? == b'"' {
                break;
            }
            has_escapes = true;
            self.at += 2;
        }
        self.at += 1;
        if has_escapes {
            return serde_json::from_str(self.text.get(start..self.at)?).ok().map(Cow::Owned);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
    }

    /// Reads a number or a word: all up to the next separator.
    fn token(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_end = |c: char| matches!(c, ',' | ']' | '}' | ':' | '"' | '[' | '{') || c.is_ascii_whitespace();
        let token = rest.split(is_end).next().unwrap_or_default();
        self.at += token.len();
        token
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        self.peek() == Some(byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        let is_there = self.next_is(byte);
        self.at += usize::from(is_there);
        is_there.then_some(())
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Writes a number as its digits without zeros at either end, and a power of ten.
fn canonical_number(text: &str) -> Option<String> {
    let (sign, magnitude) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let fraction = i64::try_from(fraction.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_sub(fraction)?.checked_add(dropped)?;
    Some(format!("{sign}{significant}e{power}"))
}
