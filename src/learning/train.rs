//! From sets of outcomes to a router artifact.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: prompts, folds and models are indexed by their own numbering"
)]

use std::path::Path;

use rayon::prelude::*;

use super::{
    LearningError,
    abilities::{self, Abilities, Ability, Outcome, Precision},
    data::{HeldBack, Set},
    encoder::{Encoder, stage_rng},
    examples::Examples,
    export::{self, Trained},
    graph::Heads,
    heads::{Linear, Scaling, SoftmaxSettings, ridge, softmax_regression},
    lengths,
    matrix::Matrix,
    progress::Progress,
    vocabulary::train_vocabulary,
};
use crate::scoring::{profiles::sigmoid, tokens::Tokens};

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct TrainSettings {
    /// Everything by chance comes from it.
    pub seed: u64,
    /// Pieces of the vocabulary.
    pub vocabulary: usize,
    /// Passes of the domain head over the prompts.
    pub epochs: usize,
}

impl TrainSettings {
    /// Returns the settings of the shipped artifact with a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, vocabulary: 10_000, epochs: 8 }
    }
}

/// The latents that profiles are fitted on come from heads that did not see the prompt, or profiles would trust them too much.
const FOLDS: usize = 5;
/// Of the ease head, on inputs with spread 1.
const EASE_RIDGE: f64 = 400.0;
/// Variance of a prompt's ease around its domain's, in squared log-odds.
const EASE_VARIANCE: f64 = 2.0;
/// Precision of a domain's common difficulty and of a model's own deviation from it.
const DOMAIN_PRECISION: (f64, f64) = (0.5, 4.0);
/// The same for the loading on ease.
const EASE_PRECISION: (f64, f64) = (1.0, 8.0);

/// Trains an artifact and writes it to `out`, all of it or nothing.
///
/// # Errors
/// There is nothing to learn from, or the folder cannot be written.
pub fn train(sets: &[Set], out: &Path, settings: TrainSettings, progress: &dyn Progress) -> Result<(), LearningError> {
    let examples = Examples::of(sets, &HeldBack::of(sets));
    if examples.prompts.len() < FOLDS || examples.domains.len() < 2 {
        return Err(LearningError::TooLittle { prompts: examples.prompts.len(), domains: examples.domains.len() });
    }
    progress.begin("vocabulary", 1);
    let texts: Vec<&str> = examples.prompts.iter().map(String::as_str).collect();
    let vocabulary = train_vocabulary(&texts, settings.vocabulary)?;
    let tokens = Tokens::parse(&vocabulary.json).map_err(|error| LearningError::Tokenizer(error.to_string()))?;
    progress.step();
    progress.begin("encoder", 2);
    let ids: Result<Vec<Vec<u32>>, _> = texts.par_iter().map(|text| tokens.ids(text)).collect();
    let ids = ids.map_err(|error| LearningError::Tokenizer(error.to_string()))?;
    progress.step();
    let encoder = Encoder::train(&vocabulary.tokens, &ids, &mut stage_rng(settings.seed, 1));
    progress.step();
    let (heads, fitted, verbosity) = fit_heads(&examples, &encoder.encode_all(&ids), settings, progress);
    progress.begin("writing", 1);
    let trained = Trained { settings, examples: &examples, vocabulary, encoder, heads, fitted, verbosity };
    export::write(&trained, out)?;
    progress.step();
    Ok(())
}

fn fit_heads(
    examples: &Examples,
    plain: &Matrix,
    settings: TrainSettings,
    progress: &dyn Progress,
) -> (Heads, Abilities, Vec<f64>) {
    let scaling = Scaling::of(plain);
    let inputs = scaling.apply(plain);
    progress.begin("domains and ease", FOLDS as u64 + 1);
    let eases = eases(examples);
    let fits: Vec<Fit> = (0..=FOLDS)
        .into_par_iter()
        .map(|fold| {
            let fit = Fit::new(examples, &inputs, &eases, settings, fold);
            progress.step();
            fit
        })
        .collect();
    let latents = held_out_latents(&inputs, &fits, examples.domains.len());
    progress.begin("profiles", 1);
    let fitted = abilities::fit(&latents, &examples.outcomes, &precision(examples.domains.len()));
    progress.step();
    progress.begin("lengths", 1);
    let rows = joined(plain, &latents, examples.domains.len());
    let lengths =
        lengths::fit(&rows, &examples.answers, &examples.labels, examples.domains.len(), examples.models.len());
    progress.step();
    let whole = &fits[FOLDS];
    let heads = Heads {
        domains: scaling.fold_into(&whole.domains),
        ease: scaling.fold_into(&whole.ease),
        length: lengths.head,
    };
    (heads, fitted, lengths.verbosity)
}

/// Heads fitted without one fold; fold number [`FOLDS`] leaves nothing out.
struct Fit {
    domains: Linear,
    ease: Linear,
}

impl Fit {
    fn new(
        examples: &Examples,
        inputs: &Matrix,
        (targets, weights): &(Vec<f64>, Vec<f64>),
        settings: TrainSettings,
        fold: usize,
    ) -> Self {
        let select: Vec<usize> = (0..inputs.rows).filter(|index| fold_of(*index) != fold).collect();
        let softmax = SoftmaxSettings { epochs: settings.epochs, rate: 0.01, penalty: 1e-4 };
        let mut rng = stage_rng(settings.seed, 2);
        let domains = softmax_regression(inputs, &select, &examples.labels, softmax, &mut rng);
        let ease = ridge(inputs, &select, targets, weights, EASE_RIDGE);
        Self { domains, ease }
    }
}

/// Neighbouring prompts of a source are often alike; a multiplicative hash scatters them.
fn fold_of(index: usize) -> usize {
    (index.wrapping_mul(0x9E37_79B9) >> 7) % FOLDS
}

/// How much easier each prompt is than its domain and the models that answered it suggest: one Newton step from zero with a
/// Gaussian prior, and the weight of that estimate.
fn eases(examples: &Examples) -> (Vec<f64>, Vec<f64>) {
    let prompts = examples.prompts.len();
    let domains = examples.domains.len();
    let mut hard = Matrix::zeros(prompts, domains);
    examples.labels.iter().enumerate().for_each(|(index, label)| hard.row_mut(index)[*label] = 1.0);
    let common = vec![DOMAIN_PRECISION.0; domains];
    let fitted =
        abilities::fit(&hard, &examples.outcomes, &Precision { common, own: vec![DOMAIN_PRECISION.1; domains] });
    let mut slopes = vec![0.0; prompts];
    let mut curvatures = vec![0.0; prompts];
    for (ability, outcomes) in fitted.models.iter().zip(&examples.outcomes) {
        for Outcome { prompt, score } in outcomes {
            let p = sigmoid(ability.logit(hard.row(*prompt)));
            slopes[*prompt] += score - p;
            curvatures[*prompt] += p * (1.0 - p);
        }
    }
    let prior = 1.0 / EASE_VARIANCE;
    let targets = slopes.iter().zip(&curvatures).map(|(slope, curvature)| slope / (curvature + prior));
    let weights = curvatures.iter().map(|curvature| curvature / (curvature + prior));
    (targets.collect(), weights.collect())
}

fn held_out_latents(inputs: &Matrix, fits: &[Fit], domains: usize) -> Matrix {
    let mut latents = Matrix::zeros(inputs.rows, domains + 1);
    latents.data.par_chunks_mut(domains + 1).enumerate().for_each(|(index, latent)| {
        let fit = &fits[fold_of(index)];
        latent[..domains].copy_from_slice(&fit.domains.softmax(inputs.row(index)));
        latent[domains] = fit.ease.apply(inputs.row(index))[0];
    });
    latents
}

fn precision(domains: usize) -> Precision {
    let mut precision = Precision { common: vec![DOMAIN_PRECISION.0; domains], own: vec![DOMAIN_PRECISION.1; domains] };
    precision.common.push(EASE_PRECISION.0);
    precision.own.push(EASE_PRECISION.1);
    precision
}

/// Inputs and, behind them, the soft domains.
fn joined(inputs: &Matrix, latents: &Matrix, domains: usize) -> Matrix {
    let mut rows = Matrix::zeros(inputs.rows, inputs.columns + domains);
    for (index, (input, latent)) in inputs.iter().zip(latents.iter()).enumerate() {
        let (left, right) = rows.row_mut(index).split_at_mut(inputs.columns);
        left.copy_from_slice(input);
        right.copy_from_slice(&latent[..domains]);
    }
    rows
}

/// Returns a model's ability in `profiles.json`'s numbers.
pub fn as_profile(ability: &Ability) -> (Vec<f32>, f32) {
    (ability.vector.iter().map(|weight| *weight as f32).collect(), ability.bias as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        learning::{
            Silent,
            data::{Meta, ModelMeta, Record, Split},
            evaluate::{Settings, evaluate, forecast::Subject},
        },
        scoring::{
            Artifact,
            folder::Folder,
            session_rten::{RtenGraph, RtenSession},
        },
    };

    /// Sums, which only the calculator gets right, and cities, which only the traveller does.
    fn made_up() -> Vec<Set> {
        let model =
            |id: &str| ModelMeta { id: id.to_owned(), in_price: Some(1.0), out_price: Some(1.0), params_b: None };
        let record = |index: usize| {
            let is_sum = index.is_multiple_of(2);
            let prompt = match is_sum {
                true => format!("what is the sum of {} and {}, please", index * 7 % 91, index * 3 % 83),
                false => {
                    format!("which river flows through the old city number {} of the country", index * 11 % 97 + index)
                }
            };
            let good = Some(f64::from(u8::from(!index.is_multiple_of(7))));
            let bad = Some(f64::from(u8::from(index.is_multiple_of(9))));
            Record {
                id: format!("{index}"),
                task: if is_sum { "sums" } else { "cities" }.to_owned(),
                sub: None,
                prompt,
                split: Some(if index.is_multiple_of(5) { Split::Val } else { Split::Train }),
                score: if is_sum { vec![good, bad] } else { vec![bad, good] },
                out_tok: vec![Some(20.0), Some(40.0)],
                in_tok: Some(10.0),
                cost: vec![Some(1e-4), Some(2e-4)],
                contaminated: false,
            }
        };
        let meta = Meta {
            name: "made-up".to_owned(),
            license: "MIT".to_owned(),
            models: vec![model("calculator"), model("traveller")],
        };
        vec![Set { meta, records: (0..600).map(record).collect() }]
    }

    fn settings() -> TrainSettings {
        TrainSettings { seed: 3, vocabulary: 300, epochs: 3 }
    }

    #[test]
    fn the_same_data_and_seed_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a/tiny-v1"), folder.path().join("b/tiny-v1"));

        train(&made_up(), &first, settings(), &Silent).unwrap();
        train(&made_up(), &second, settings(), &Silent).unwrap();

        for file in ["router.yaml", "model.onnx", "tokenizer.json", "profiles.json", "golden.jsonl", "seen.bin"] {
            assert_eq!(std::fs::read(first.join(file)).unwrap(), std::fs::read(second.join(file)).unwrap(), "{file}");
        }
    }

    #[test]
    fn a_trained_router_loads_and_sends_each_prompt_to_the_model_that_can() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("tiny-v1");
        let sets = made_up();

        train(&sets, &out, settings(), &Silent).unwrap();

        let artifact = Artifact::read(&Folder::Disk(out)).unwrap();
        let mut session = RtenSession::new(RtenGraph::load(artifact.onnx.to_vec()).unwrap());
        let mut subject = Subject { artifact: &artifact, session: &mut session };
        let settings = Settings { rounds: 20, ..Settings::default() };
        let report = evaluate(&sets[0], &mut subject, &settings, &Silent).unwrap().unwrap().report;
        let router = &report.lines[0];
        assert!(router.metrics.gain.value > 50.0, "{router:?}");
        assert!(router.metrics.gap_closed.value > 70.0, "{router:?}");
    }

    #[test]
    fn sets_without_an_open_licence_are_not_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut sets = made_up();
        sets[0].meta.license = "none stated".to_owned();

        let error = train(&sets, &folder.path().join("tiny-v1"), settings(), &Silent).unwrap_err();

        assert!(matches!(error, LearningError::TooLittle { prompts: 0, .. }), "{error}");
    }
}
