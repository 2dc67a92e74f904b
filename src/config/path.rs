//! Where in a document: `models[2].prices.input`.

use std::fmt;

use super::yaml::{Node, Position, Value};

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The way from a document's root to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// Returns the path of the document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns the path of a value in this mapping.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// Returns the path of an item in this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Returns whether this is `other` or leads to it.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Returns where the value stands; the nearest ancestor when it is not in the document.
    pub fn find(&self, root: &Node) -> Position {
        let mut node = root;
        let mut position = root.position;
        for step in &self.0 {
            let next = match step {
                Step::Key(key) => node.entry(key).map(|entry| (&entry.node, value_or_key(entry.position, &entry.node))),
                Step::Index(index) => node.item(*index).map(|item| (item, item.position)),
            };
            let Some((inner, place)) = next else { return Position { length: 1, ..position } };
            (node, position) = (inner, place);
        }
        position
    }

    /// Takes the value out of a document; of a list of plain values the whole list, so that no place in it moves. What stands
    /// in a list of mappings stays.
    pub fn remove_from(&self, root: &mut Node) {
        let Some((last, way)) = self.0.split_last() else { return };
        let Some(parent) = way.iter().try_fold(root as &mut Node, into) else { return };
        match (&mut parent.value, last) {
            (Value::Map(entries), Step::Key(key)) => entries.retain(|entry| entry.key != *key),
            (Value::List(items), Step::Index(_)) if items.iter().all(|item| !matches!(item.value, Value::Map(_))) => {
                items.clear();
            }
            _ => {}
        }
    }
}

/// A mapping or a list starts on the next line: its key is the better place to point at.
fn value_or_key(key: Position, node: &Node) -> Position {
    match node.value {
        Value::Map(_) | Value::List(_) | Value::Null => key,
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => node.position,
    }
}

fn into<'n>(node: &'n mut Node, step: &Step) -> Option<&'n mut Node> {
    match (&mut node.value, step) {
        (Value::Map(entries), Step::Key(key)) => {
            entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
        }
        (Value::List(items), Step::Index(index)) => items.get_mut(*index),
        _ => None,
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_code() {
        let path = Path::root().key("models").index(2).key("prices").key("input");

        assert_eq!(path.to_string(), "models[2].prices.input");
        assert!(Path::root().key("models").index(2).holds(&path));
        assert!(!Path::root().key("models").index(1).holds(&path));
    }
}
