//! Which deployment stands behind a model's name.

use secrecy::ExposeSecret;

use super::settings::{LocalSettings, ModelSettings, ModelSource, RemoteSettings, WeightSource};

impl ModelSettings {
    /// Returns words that are the same only where the same deployment answers. They hold the values of headers: hash them.
    ///
    /// Credentials do not count: whoever pays, the model is the same. Weights on disk count with their size and time, because a
    /// path outlives what lies there.
    pub fn origin(&self) -> Vec<String> {
        match &self.source {
            ModelSource::OpenAi(remote) => remote_origin("openai", remote),
            ModelSource::Anthropic(remote) => remote_origin("anthropic", remote),
            ModelSource::Local(local) => local_origin(local),
            ModelSource::Together(together) => vec!["together".to_owned(), format!("{together:?}")],
            ModelSource::Router => vec!["router".to_owned()],
            ModelSource::Scripted(script) => vec!["scripted".to_owned(), script.answer.clone()],
        }
    }
}

fn remote_origin(wire: &str, remote: &RemoteSettings) -> Vec<String> {
    let mut words = vec![wire.to_owned(), remote.base_url.clone(), remote.upstream_model.to_string()];
    let mut headers: Vec<_> = remote.headers.iter().collect();
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    words.extend(headers.into_iter().flat_map(|(name, value)| [name.clone(), value.expose_secret().to_owned()]));
    words
}

fn local_origin(local: &LocalSettings) -> Vec<String> {
    let numbers = format!("{:?}, {:?}", local.dtype, local.quantize);
    let mut words = vec!["local".to_owned(), format!("{:?}", local.weights), numbers];
    if let WeightSource::Path(path) = &local.weights
        && let Ok(found) = std::fs::metadata(path)
    {
        words.push(format!("{} bytes, changed {:?}", found.len(), found.modified().ok()));
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::SecretString;

    use super::*;
    use crate::domain::ProviderName;

    fn remote() -> RemoteSettings {
        RemoteSettings {
            provider: ProviderName::parse("p").unwrap(),
            base_url: "https://one.example/v1".to_owned(),
            api_key: None,
            headers: vec![("x-region".to_owned(), SecretString::from("eu"))],
            upstream_model: Arc::from("m"),
        }
    }

    #[test]
    fn what_answers_counts_and_who_pays_does_not() {
        let plain = remote_origin("openai", &remote());
        let paid = RemoteSettings { api_key: Some(SecretString::from("sk")), ..remote() };
        let others = [
            RemoteSettings { base_url: "https://two.example/v1".to_owned(), ..remote() },
            RemoteSettings { upstream_model: Arc::from("n"), ..remote() },
            RemoteSettings { headers: vec![("x-region".to_owned(), SecretString::from("us"))], ..remote() },
        ];

        assert_eq!(remote_origin("openai", &paid), plain);
        assert_ne!(remote_origin("anthropic", &remote()), plain);
        for other in &others {
            assert_ne!(remote_origin("openai", other), plain, "{other:?}");
        }
    }

    #[test]
    fn other_weights_under_the_same_path_are_another_model() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let local = LocalSettings::of(WeightSource::Path(file.path().to_owned()));

        let before = local_origin(&local);
        std::fs::write(file.path(), b"more").unwrap();

        assert_ne!(local_origin(&local), before);
    }
}
