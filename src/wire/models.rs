//! The list of models.

use bytes::Bytes;
use serde::Serialize;

/// One model as `/v1/models` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry<'a> {
    /// The name to put into a request.
    pub id: &'a str,
    /// When it was released, in Unix seconds.
    pub created: i64,
    /// Who serves it.
    pub owner: &'a str,
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Document<'a>>,
}

fn document<'a>(entry: &ModelEntry<'a>) -> Document<'a> {
    Document { id: entry.id, object: "model", created: entry.created, owned_by: entry.owner }
}

/// Renders one model.
pub fn render_model(entry: &ModelEntry<'_>) -> Bytes {
    render(&document(entry))
}

/// Renders a list of models.
pub fn render_models(entries: &[ModelEntry<'_>]) -> Bytes {
    render(&List { object: "list", data: entries.iter().map(document).collect() })
}

fn render(document: &impl Serialize) -> Bytes {
    // Strings and integers always serialise.
    Bytes::from(serde_json::to_vec(document).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_as_openai_lists_them() {
        let entry = ModelEntry { id: "auto", created: 7, owner: "pointsman" };

        let list = render_models(&[entry]);

        assert_eq!(
            list,
            r#"{"object":"list","data":[{"id":"auto","object":"model","created":7,"owned_by":"pointsman"}]}"#
        );
    }
}
