//! Models inside this process.

use secrecy::SecretString;

use super::{Compiler, models::Way};
use crate::{
    config::{
        document::{Isolation, LOOKUP, LocalDocument, SpeculateDocument},
        environment::SecretError,
        path::Path,
        settings::*,
    },
    domain::{ModelName, Tokens},
};

/// What the program must be built with to reach a device.
const fn feature(device: DeviceChoice) -> Option<(&'static str, bool)> {
    match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => None,
        DeviceChoice::Cuda(_) => Some(("cuda", cfg!(feature = "cuda"))),
        DeviceChoice::Metal => Some(("metal", cfg!(feature = "metal"))),
    }
}

impl Compiler<'_, '_> {
    /// Returns the way to a local model named `name` with a context of `window` tokens.
    pub(super) fn local(&mut self, (local, window): (&LocalDocument, u64), name: &str, at: &Path) -> Way {
        self.check_hub(local, at);
        let token = match local.token.as_deref().map(|text| self.environment.secret(text)).transpose() {
            Ok(token) => token,
            Err(SecretError::Missing(variable)) => return Way::Asleep(variable),
            Err(error) => {
                self.refuse_secret(&error, &at.key("token"));
                return Way::Refused;
            }
        };
        let settings = self.local_settings((local, window, token), name, at);
        settings.map_or(Way::Refused, |settings| Way::Reached(ModelSource::Local(Box::new(settings))))
    }

    fn check_hub(&mut self, local: &LocalDocument, at: &Path) {
        let given =
            [("revision", local.revision.is_some()), ("file", local.file.is_some()), ("token", local.token.is_some())];
        for (key, is_given) in given {
            if is_given && local.hugging_face.is_none() {
                self.report.add(&at.key(key), format!("\"{key}\" needs \"hugging_face\""));
            }
        }
    }

    fn local_settings(
        &mut self,
        (local, window, token): (&LocalDocument, u64, Option<SecretString>),
        name: &str,
        at: &Path,
    ) -> Option<LocalSettings> {
        let weights = self.weights(local, at)?;
        let device = self.device(local, at)?;
        self.check_quantization(local, &weights, at);
        self.check_alone(local, at);
        let speculate = match &local.speculate {
            Some(speculate) => Some(self.speculate(speculate, name, &at.key("speculate"))?),
            None => None,
        };
        Some(LocalSettings {
            weights,
            token,
            device,
            dtype: local.dtype,
            quantize: local.quantize,
            replicas: local.replicas.max(1),
            keep_alive: local.keep_alive.map(|period| period.0),
            checks_memory: local.check_memory,
            stall_after: local.stall_after.0,
            isolation: local.isolation,
            context_window: Tokens(window),
            queue: local.queue,
            queue_timeout: local.queue_timeout.0,
            preload: local.preload,
            speculate,
        })
    }

    fn weights(&mut self, local: &LocalDocument, at: &Path) -> Option<WeightSource> {
        match (&local.catalogue, &local.path, &local.hugging_face) {
            (Some(name), None, None) => Some(WeightSource::Catalogue(name.clone())),
            (None, Some(path), None) => Some(WeightSource::Path(self.place(path))),
            (None, None, Some(repo)) => Some(WeightSource::HuggingFace {
                repo: repo.clone(),
                revision: local.revision.clone(),
                file: local.file.clone(),
            }),
            _ => {
                let help = "give exactly one of \"catalogue\", \"path\" and \"hugging_face\"";
                self.report.add_with_help(at, "it is not clear where the weights come from", help);
                None
            }
        }
    }

    fn device(&mut self, local: &LocalDocument, at: &Path) -> Option<DeviceChoice> {
        let place = at.key("device");
        let Some(device) = DeviceChoice::parse(&local.device) else {
            let help = "give \"auto\", \"cpu\", \"cuda\", \"cuda:N\" or \"metal\"";
            self.report.add_with_help(&place, format!("\"{}\" is no device", local.device), help);
            return None;
        };
        if let Some((feature, false)) = feature(device) {
            let help = format!("build it with `--features {feature}`, or leave the key out");
            self.report.add_with_help(&place, format!("this program was built without {feature}"), help);
        }
        Some(device)
    }

    fn check_quantization(&mut self, local: &LocalDocument, weights: &WeightSource, at: &Path) {
        let is_gguf = match weights {
            WeightSource::Catalogue(_) => true,
            WeightSource::Path(path) => {
                path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
            }
            WeightSource::HuggingFace { file, .. } => file.is_some(),
        };
        if is_gguf && local.quantize.is_some() {
            let help = "leave the key out, or load the safetensors";
            self.report.add_with_help(&at.key("quantize"), "a GGUF file is quantised already", help);
        }
        if is_gguf && local.dtype != Default::default() {
            let help = "leave the key out, or load the safetensors";
            self.report.add_with_help(&at.key("dtype"), "a GGUF file has numbers of its own", help);
        }
    }

    /// Speculation and replicas are two answers to one question: an engine that checks several tokens at once has no use for a
    /// second one beside it. A process of its own knows no other model that could draft.
    fn check_alone(&mut self, local: &LocalDocument, at: &Path) {
        let Some(speculate) = &local.speculate else { return };
        if local.replicas > 1 {
            let help = "give either \"speculate\" or more than one of \"replicas\"";
            self.report.add_with_help(&at.key("replicas"), "a model that speculates has one engine", help);
        }
        if local.isolation == Isolation::Process && speculate.draft != LOOKUP {
            let help = "use the draft \"lookup\", or leave \"isolation\" out";
            let what = "a process of its own knows no other model";
            self.report.add_with_help(&at.key("speculate").key("draft"), what, help);
        }
    }

    fn speculate(&mut self, speculate: &SpeculateDocument, name: &str, at: &Path) -> Option<SpeculateSettings> {
        let draft = if speculate.draft == LOOKUP { Draft::Lookup } else { self.draft(speculate, name, at)? };
        let SpeculateDocument { gamma, adapt, when, .. } = *speculate;
        Some(SpeculateSettings { draft, gamma, adapts: adapt, when })
    }

    fn draft(&mut self, speculate: &SpeculateDocument, name: &str, at: &Path) -> Option<Draft> {
        let place = at.key("draft");
        let Some(model) = self.document.models.iter().find(|model| model.name == speculate.draft) else {
            let models = &self.document.models;
            let local = models.iter().filter(|model| model.local.is_some() && model.name != name);
            let known = local.map(|model| model.name.as_str()).chain([LOOKUP]);
            self.report.add_unknown(&place, "draft", &speculate.draft, known);
            return None;
        };
        let is_alone = model.local.as_ref().is_some_and(|local| local.isolation == Isolation::Process);
        if model.local.is_none() || model.name == name || is_alone {
            let help = "a draft is another local model inside this process, or \"lookup\"";
            self.report.add_with_help(&place, format!("\"{}\" cannot be the draft", model.name), help);
            return None;
        }
        ModelName::parse(&model.name).ok().map(Draft::Model)
    }
}
