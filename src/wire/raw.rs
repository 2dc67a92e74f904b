//! A JSON object as text: found, replaced and removed fields, everything else untouched.
//!
//! One pass of `serde_json` validates the text and finds the top-level fields; a second, cheap one measures the nesting. Values
//! are never decoded, so what is not edited stays byte for byte: large integers, tiny floats, duplicate keys, key order,
//! blanks and escapes.

use std::{fmt, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

/// Why a body is not an object that can be worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// Not JSON; the message names line and column.
    #[error("{0}")]
    Syntax(String),
    /// JSON, but not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// Nested deeper than the limit.
    #[error("the body is nested deeper than {0} levels")]
    TooDeep(usize),
}

/// A change to one top-level field. Of two edits of one field the later one counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit<'a> {
    /// Replaces the value of every occurrence, or appends the field. The second text must be JSON.
    Set(&'a str, &'a str),
    /// Removes every occurrence.
    Remove(&'a str),
}

impl Edit<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Remove(name) => name,
        }
    }
}

/// A JSON object as text, with its top-level fields found. Its `Debug` tells only its size: bodies hold prompts.
#[derive(Clone)]
pub struct RawObject {
    bytes: Bytes,
    fields: Vec<Field>,
}

impl fmt::Debug for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, fields) = (self.bytes.len(), self.fields.len());
        f.debug_struct("RawObject").field("bytes", &bytes).field("fields", &fields).finish()
    }
}

#[derive(Clone)]
struct Field {
    /// The key, escapes resolved.
    name: String,
    /// Where the key's opening quote stands.
    start: usize,
    /// Where the value stands.
    value: Range<usize>,
}

impl RawObject {
    /// Parses a JSON object nested at most `max_depth` levels; the object itself is level 1.
    ///
    /// # Errors
    /// The bytes are not JSON, not an object, or nested too deep.
    pub fn parse(bytes: Bytes, max_depth: usize) -> Result<Self, RawError> {
        let fields = find_fields(&bytes)?;
        if depth(&bytes) > max_depth {
            return Err(RawError::TooDeep(max_depth));
        }
        Ok(Self { bytes, fields })
    }

    /// Returns the whole text.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the JSON text of a field; of several occurrences the last, as JSON readers commonly do.
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().rev().find(|field| field.name == name)?;
        self.text(&field.value)
    }

    /// Returns the keys in the order of the text, escapes resolved, duplicates included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// Returns keys and JSON texts in the order of the text, duplicates included.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (field.name.as_str(), self.text(&field.value).unwrap_or_default()))
    }

    /// Returns the text with `edits` made and every other byte as it was.
    pub fn with(&self, edits: &[Edit<'_>]) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len() + room_for(edits));
        let head = self.fields.first().map_or_else(|| self.end_of_brace(), |field| field.start);
        out.extend_from_slice(self.slice(0..head));
        let mut is_first = self.write_kept(edits, &mut out);
        for edit in self.additions(edits) {
            if let Edit::Set(name, value) = edit {
                write_field(name, value, is_first, &mut out);
                is_first = false;
            }
        }
        let tail = self.fields.last().map_or(head, |field| field.value.end);
        out.extend_from_slice(self.slice(tail..self.bytes.len()));
        out.freeze()
    }

    /// Writes the fields that stay, each with the separator that stood before it; returns whether none did.
    fn write_kept(&self, edits: &[Edit<'_>], out: &mut BytesMut) -> bool {
        let mut is_first = true;
        let mut previous_end = 0;
        for field in &self.fields {
            let gap = previous_end..field.start;
            previous_end = field.value.end;
            let edit = edits.iter().rev().find(|edit| edit.name() == field.name);
            if matches!(edit, Some(Edit::Remove(_))) {
                continue;
            }
            if !is_first {
                out.extend_from_slice(self.slice(gap));
            }
            is_first = false;
            match edit {
                Some(Edit::Set(_, value)) => {
                    out.extend_from_slice(self.slice(field.start..field.value.start));
                    out.extend_from_slice(value.as_bytes());
                }
                _ => out.extend_from_slice(self.slice(field.start..field.value.end)),
            }
        }
        is_first
    }

    /// Returns the edits that name no field of the text and are not overruled by a later edit.
    fn additions<'e>(&self, edits: &'e [Edit<'e>]) -> impl Iterator<Item = &'e Edit<'e>> {
        edits.iter().enumerate().filter_map(move |(at, edit)| {
            let is_overruled = edits.iter().skip(at + 1).any(|later| later.name() == edit.name());
            let is_present = self.names().any(|name| name == edit.name());
            (!is_overruled && !is_present).then_some(edit)
        })
    }

    fn end_of_brace(&self) -> usize {
        memchr(b'{', &self.bytes).map_or(0, |at| at + 1)
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn text(&self, range: &Range<usize>) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }
}

fn room_for(edits: &[Edit<'_>]) -> usize {
    let room = |edit: &Edit<'_>| match edit {
        Edit::Set(name, value) => name.len() + value.len() + 8,
        Edit::Remove(_) => 0,
    };
    edits.iter().map(room).sum()
}

fn write_field(name: &str, value: &str, is_first: bool, out: &mut BytesMut) {
    if !is_first {
        out.put_u8(b',');
    }
    out.extend_from_slice(quoted(name).as_bytes());
    out.put_u8(b':');
    out.extend_from_slice(value.as_bytes());
}

/// Returns a text as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    // Writing a string into memory cannot fail; the fallback only spares a panic path.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

fn find_fields(bytes: &Bytes) -> Result<Vec<Field>, RawError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let fields = FieldFinder { bytes }.deserialize(&mut deserializer).map_err(raw_error)?;
    deserializer.end().map_err(raw_error)?;
    Ok(fields)
}

fn raw_error(error: serde_json::Error) -> RawError {
    match error.classify() {
        Category::Data => RawError::NotAnObject,
        Category::Io | Category::Syntax | Category::Eof => RawError::Syntax(error.to_string()),
    }
}

/// Finds the top-level fields while `serde_json` validates everything below them.
struct FieldFinder<'b> {
    bytes: &'b [u8],
}

impl<'de> DeserializeSeed<'de> for FieldFinder<'de> {
    type Value = Vec<Field>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldFinder<'de> {
    type Value = Vec<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let origin = self.bytes.as_ptr().addr();
        let mut fields: Vec<Field> = Vec::with_capacity(16);
        let mut previous_end = 0;
        while let Some(name) = map.next_key::<String>()? {
            let raw = map.next_value::<&'de RawValue>()?.get();
            // Between two fields stand only blanks and a comma, so the first quote opens the key.
            let gap = self.bytes.get(previous_end..).unwrap_or_default();
            let start = previous_end + memchr(b'"', gap).unwrap_or(0);
            let value_start = raw.as_ptr().addr() - origin;
            previous_end = value_start + raw.len();
            fields.push(Field { name, start, value: value_start..previous_end });
        }
        Ok(fields)
    }
}

/// Returns how deep objects and lists are nested in valid JSON.
fn depth(json: &[u8]) -> usize {
    let mut bytes = json.iter();
    let (mut depth, mut deepest) = (0_usize, 0);
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(at) = memchr2(b'"', b'\\', bytes.as_slice()) {
        if bytes.nth(at) == Some(&b'"') {
            return;
        }
        bytes.next();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(text: &str) -> RawObject {
        RawObject::parse(Bytes::copy_from_slice(text.as_bytes()), 64).unwrap()
    }

    fn edited(text: &str, edits: &[Edit<'_>]) -> String {
        String::from_utf8(object(text).with(edits).to_vec()).unwrap()
    }

    #[test]
    fn untouched_fields_stay_byte_for_byte() {
        let text =
            r#"{ "seed" : 18446744073709551616123, "a":1e-400 ,"a" : 1.10,  "mod\u0065l":"x", "z":{"b":1,"a":2} }"#;

        let out = edited(text, &[Edit::Set("model", "\"y\"")]);

        let expected =
            r#"{ "seed" : 18446744073709551616123, "a":1e-400 ,"a" : 1.10,  "mod\u0065l":"y", "z":{"b":1,"a":2} }"#;
        assert_eq!(out, expected);
    }

    #[test]
    fn fields_are_removed_with_their_comma() {
        assert_eq!(edited(r#"{"a":1, "b":2, "c":3}"#, &[Edit::Remove("a")]), r#"{"b":2, "c":3}"#);
        assert_eq!(edited(r#"{"a":1, "b":2, "c":3}"#, &[Edit::Remove("b")]), r#"{"a":1, "c":3}"#);
        assert_eq!(edited(r#"{"a":1, "b":2, "c":3}"#, &[Edit::Remove("c")]), r#"{"a":1, "b":2}"#);
        assert_eq!(edited(r#"{"a":1,"a":2}"#, &[Edit::Remove("a")]), r"{}");
    }

    #[test]
    fn new_fields_are_appended() {
        assert_eq!(edited("{ }", &[Edit::Set("a", "1"), Edit::Set("b\"", "2")]), r#"{"a":1,"b\"":2 }"#);
        assert_eq!(edited(r#"{"a":1 }"#, &[Edit::Remove("a"), Edit::Set("b", "2")]), r#"{"b":2 }"#);
    }

    #[test]
    fn the_last_occurrence_counts() {
        assert_eq!(object(r#"{"a":1,"a":{"b":2}}"#).get("a"), Some(r#"{"b":2}"#));
    }

    #[test]
    fn nesting_is_limited_outside_strings_only() {
        let deep = Bytes::from_static(br#"{"a":[[["{[\"[["]]]}"#);

        assert!(RawObject::parse(deep.clone(), 4).is_ok());
        assert_eq!(RawObject::parse(deep, 3).unwrap_err(), RawError::TooDeep(3));
    }

    #[test]
    fn a_hundred_thousand_brackets_do_not_overflow_the_stack() {
        let body = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));

        assert_eq!(RawObject::parse(Bytes::from(body), 64).unwrap_err(), RawError::TooDeep(64));
    }

    #[test]
    fn what_is_not_an_object_is_refused_by_kind() {
        assert_eq!(RawObject::parse(Bytes::from_static(b"[1]"), 9).unwrap_err(), RawError::NotAnObject);
        assert!(matches!(RawObject::parse(Bytes::from_static(b"{\"a\":"), 9), Err(RawError::Syntax(_))));
        assert!(matches!(RawObject::parse(Bytes::from_static(b"{} x"), 9), Err(RawError::Syntax(_))));
        assert!(matches!(RawObject::parse(Bytes::from_static(b"{\"a\":\"\xff\"}"), 9), Err(RawError::Syntax(_))));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
            any::<String>().prop_map(|text| quoted(&text)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[ {} ]", items.join(" , "))),
                prop::collection::vec(("[a-c]{1,2}", inner), 0..4).prop_map(|fields| render(&fields)),
            ]
        })
    }

    fn render(fields: &[(String, String)]) -> String {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{} :{value}\n", quoted(name))).collect();
        format!("{{\t{}}}", fields.join(",  "))
    }

    proptest! {
        #[test]
        fn any_object_under_any_edits_keeps_its_other_fields(
            fields in prop::collection::vec(("[a-e\"\u{e4}]{1,2}", json()), 0..6),
            edits in prop::collection::vec(("[a-e\"\u{e4}]{1,2}", prop::option::of(json())), 0..4),
        ) {
            let before = RawObject::parse(Bytes::from(render(&fields)), usize::MAX).unwrap();
            let list: Vec<Edit<'_>> = edits
                .iter()
                .map(|(name, value)| value.as_ref().map_or(Edit::Remove(name), |value| Edit::Set(name, value)))
                .collect();

            let after = RawObject::parse(before.with(&list), usize::MAX).unwrap();

            let edited = |name: &str| edits.iter().any(|(other, _)| other == name);
            let kept: Vec<_> = before.fields().filter(|(name, _)| !edited(name)).collect();
            let found: Vec<_> = after.fields().filter(|(name, _)| !edited(name)).collect();
            prop_assert_eq!(kept, found);
            for (name, _) in &edits {
                let wanted = edits.iter().rev().find(|(other, _)| other == name).and_then(|(_, value)| value.as_deref());
                prop_assert_eq!(after.get(name), wanted);
            }
        }

        #[test]
        fn no_edit_means_no_change(fields in prop::collection::vec((any::<String>(), json()), 0..6)) {
            let object = RawObject::parse(Bytes::from(render(&fields)), usize::MAX).unwrap();

            prop_assert_eq!(&object.with(&[]), object.bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(object) = RawObject::parse(Bytes::from(bytes), 16) {
                object.with(&[Edit::Set("a", "1"), Edit::Remove("b")]);
            }
        }

        #[test]
        fn no_json_like_text_makes_it_panic(text in "[{}\\[\\]\",:\\\\a0-9 ]{0,60}") {
            if let Ok(object) = RawObject::parse(Bytes::from(text), 16) {
                object.with(&[Edit::Set("a", "1"), Edit::Remove("b")]);
            }
        }
    }
}
