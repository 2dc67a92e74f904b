//! From sets of outcomes to a router artifact.
#![expect(
    clippy::indexing_slicing,
    reason = "numeric kernels: prompts, folds and models are indexed by their own numbering"
)]

use std::path::Path;

use rayon::prelude::*;

use super::{
    LearningError,
    cohort::Cohort,
    data::{HeldBack, Lessons, Set},
    encoder::{EMBEDDING, Encoder, stage_rng},
    examples::Examples,
    export::{self, Body, TOLERANCE, Trained},
    graph::{self, Heads},
    heads::{Scaling, softmax},
    lengths,
    matrix::{Matrix, dot},
    presence::{DENSE_SPREAD, Presence},
    progress::Progress,
    traits::{Trait, traits},
    vocabulary::train_vocabulary,
    wide::{self, Rows, SoftmaxSettings, Wide, softmax_regression},
    work::Work,
};
use crate::scoring::{artifact::question_hash, profiles::Profiles, text::MAX_TOKENS, tokens::Tokens};

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct TrainSettings {
    /// Everything by chance comes from it.
    pub seed: u64,
    /// Pieces of the vocabulary.
    pub vocabulary: usize,
    /// Passes of the domain head over the prompts.
    pub epochs: usize,
    /// The prompts to learn from.
    pub lessons: Lessons,
}

impl TrainSettings {
    /// Returns the settings of the shipped artifact with a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, vocabulary: 10_000, epochs: 5, lessons: Lessons::Training }
    }
}

/// The latents that profiles are fitted on come from heads that did not see the prompt, or profiles would trust them too much.
const FOLDS: usize = 5;

/// Trains an artifact and writes it to `out`, all of it or nothing.
///
/// # Errors
/// There is nothing to learn from, or the folder cannot be written.
pub fn train(sets: &[Set], out: &Path, settings: TrainSettings, progress: &dyn Progress) -> Result<(), LearningError> {
    train_in(&Work::none(), sets, out, settings, progress)
}

/// The same, going on from the stages that an earlier training on the same data left behind.
///
/// # Errors
/// As for [`train`].
pub fn train_in(
    work: &Work,
    sets: &[Set],
    out: &Path,
    settings: TrainSettings,
    progress: &dyn Progress,
) -> Result<(), LearningError> {
    let examples = examples(sets, settings.lessons)?;
    progress.begin("vocabulary", 1);
    let texts: Vec<&str> = examples.prompts.iter().map(String::as_str).collect();
    let vocabulary = work.stage("vocabulary", || train_vocabulary(&texts, settings.vocabulary))?;
    let tokens = Tokens::parse(&vocabulary.json).map_err(|error| LearningError::Tokenizer(error.to_string()))?;
    progress.step();
    progress.begin("encoder", 2);
    let ids: Result<Vec<Vec<u32>>, _> = texts.par_iter().map(|text| tokens.ids(text)).collect();
    let ids = ids.map_err(|error| LearningError::Tokenizer(error.to_string()))?;
    progress.step();
    let encoder =
        work.stage("encoder", || Ok(Encoder::train(&vocabulary.tokens, &ids, &mut stage_rng(settings.seed, 1))))?;
    progress.step();
    let presence = Presence::train(vocabulary.tokens.len(), &ids);
    let inputs = Inputs { dense: encoder.encode_all(&ids), embedding: EMBEDDING, presence: Some(&presence), ids: &ids };
    let (heads, profiles) = fit_heads(&examples, &inputs, settings, (work, progress))?;
    progress.begin("writing", 1);
    let body = Body {
        onnx: graph::write(&export::name(out), &encoder, &heads),
        outputs: heads.widths(EMBEDDING),
        tokenizer: vocabulary.json,
        max_tokens: MAX_TOKENS,
        tolerance: TOLERANCE,
    };
    let trained = Trained { settings, examples: &examples, body, profiles };
    export::write(&trained, out)?;
    progress.step();
    Ok(())
}

/// Returns what can be learned from.
///
/// # Errors
/// It is too little.
pub(super) fn examples(sets: &[Set], lessons: Lessons) -> Result<Examples, LearningError> {
    let examples = Examples::of(sets, &HeldBack::from(sets, lessons));
    if examples.prompts.len() < FOLDS || examples.domains.len() < 2 {
        return Err(LearningError::TooLittle { prompts: examples.prompts.len(), domains: examples.domains.len() });
    }
    Ok(examples)
}

/// Fits heads and profiles on what an encoder gives.
///
/// # Errors
/// A stage cannot be made.
pub(super) fn fit_heads(
    examples: &Examples,
    inputs: &Inputs<'_>,
    settings: TrainSettings,
    (work, progress): (&Work, &dyn Progress),
) -> Result<(Heads, Profiles), LearningError> {
    let scaling = Scaling::of(&inputs.dense);
    let rows = inputs.rows(&scaling);
    let traits = traits(examples);
    let about = about(&traits, examples.domains.len());
    progress.begin("domains and traits", FOLDS as u64 + 1);
    let fits: Result<Vec<Fit>, LearningError> = (0..=FOLDS)
        .into_par_iter()
        .map(|fold| {
            let fit = work.stage(&format!("fold-{fold}"), || Ok(Fit::new(examples, &rows, &traits, settings, fold)));
            progress.step();
            fit
        })
        .collect();
    let fits = fits?;
    let latents = held_out_latents(examples, &rows, &fits, &about);
    progress.begin("lengths", 1);
    let joined = joined(&inputs.dense, &latents, examples.domains.len());
    let lengths =
        lengths::fit(&joined, &examples.answers, &examples.labels, examples.domains.len(), examples.models.len());
    progress.step();
    progress.begin("profiles", 1);
    let names: Vec<String> = examples.domains.iter().chain(traits.iter().map(|one| &one.name)).cloned().collect();
    let cohort = Cohort {
        examples,
        names: &names,
        latents: &latents,
        embeddings: &left_columns(&inputs.dense, inputs.embedding),
        verbosity: &lengths.verbosity,
        seed: settings.seed,
    };
    let profiles = cohort.fit();
    progress.step();
    let whole = &fits[FOLDS];
    let (words, dense) = whole.domains.beside(&whole.traits).split(inputs.words(), DENSE_SPREAD);
    let heads = Heads {
        scores: scaling.fold_into(&dense),
        words: inputs.presence.map(|presence| presence.table(&words)),
        traits: traits.into_iter().map(|one| one.name).collect(),
        about,
        length: lengths.head,
    };
    Ok((heads, profiles))
}

/// What the encoder gives.
pub(super) struct Inputs<'a> {
    /// A row for each prompt; it begins with the embedding.
    pub(super) dense: Matrix,
    /// Entries of the embedding.
    pub(super) embedding: usize,
    /// Words and pairs, where the encoder has them.
    pub(super) presence: Option<&'a Presence>,
    /// Ids of each prompt.
    pub(super) ids: &'a [Vec<u32>],
}

impl Inputs<'_> {
    fn rows(&self, scaling: &Scaling) -> Rows {
        let dense = scaling.apply(&self.dense);
        match self.presence {
            Some(presence) => presence.rows(self.ids, &dense),
            None => Rows::of(vec![Vec::new(); dense.rows], 0, &dense, DENSE_SPREAD),
        }
    }

    fn words(&self) -> usize {
        self.presence.map_or(0, Presence::columns)
    }
}

/// Wide heads fitted without one fold; fold number [`FOLDS`] leaves nothing out.
#[derive(serde::Serialize, serde::Deserialize)]
struct Fit {
    domains: Wide,
    traits: Wide,
}

impl Fit {
    fn new(examples: &Examples, rows: &Rows, traits: &[Trait], settings: TrainSettings, fold: usize) -> Self {
        let select: Vec<usize> = (0..rows.len()).filter(|index| fold_of(&examples.prompts[*index]) != fold).collect();
        let softmax = SoftmaxSettings { epochs: settings.epochs, rate: 0.012, penalty: 3e-4 };
        let mut rng = stage_rng(settings.seed, 2);
        let domains = softmax_regression(rows, &select, &examples.labels, softmax, &mut rng);
        let mut fitted = traits.iter().map(|one| wide::ridge(rows, &select, &one.targets, one.penalty));
        let first = fitted.next().unwrap_or_else(|| Wide::silent(rows));
        Self { domains, traits: fitted.fold(first, |all, next| all.beside(&next)) }
    }

    /// Returns the latent of a row: soft domains, then each trait times the share of the domains that it is about.
    fn latent(&self, row: &[(u32, f32)], about: &Matrix) -> Vec<f32> {
        let mut latent = softmax(self.domains.apply(row));
        let shares = about.transposed().iter().map(|about| dot(about, &latent)).collect::<Vec<f32>>();
        latent.extend(self.traits.apply(row).iter().zip(shares).map(|(value, share)| value * share));
        latent
    }
}

/// The same question occurs in several sets; its fold depends on the question alone.
fn fold_of(prompt: &str) -> usize {
    usize::try_from(question_hash(prompt) % FOLDS as u64).unwrap_or(0)
}

/// Which domains each trait is about, `[domains, traits]`.
fn about(traits: &[Trait], domains: usize) -> Matrix {
    let mut about = Matrix::zeros(domains, traits.len());
    for (index, one) in traits.iter().enumerate() {
        for (domain, _) in one.about.iter().enumerate().filter(|(_, is_about)| **is_about) {
            about.row_mut(domain)[index] = 1.0;
        }
    }
    about
}

fn held_out_latents(examples: &Examples, rows: &Rows, fits: &[Fit], about: &Matrix) -> Matrix {
    let latent = |index: usize| fits[fold_of(&examples.prompts[index])].latent(rows.row(index), about);
    let data: Vec<f32> = (0..rows.len()).into_par_iter().flat_map_iter(latent).collect();
    Matrix { rows: rows.len(), columns: about.rows + about.columns, data }
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

fn left_columns(rows: &Matrix, columns: usize) -> Matrix {
    let data = rows.iter().flat_map(|row| row.iter().take(columns).copied()).collect();
    Matrix { rows: rows.rows, columns, data }
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
        TrainSettings { seed: 3, vocabulary: 300, epochs: 3, lessons: Lessons::Training }
    }

    #[test]
    fn the_same_data_and_seed_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a/tiny-v1"), folder.path().join("b/tiny-v1"));

        train(&made_up(), &first, settings(), &Silent).unwrap();
        train(&made_up(), &second, settings(), &Silent).unwrap();

        for file in
            ["router.yaml", "model.onnx", "tokenizer.json", "profiles.json", "golden.jsonl", "seen.bin", "evidence.bin"]
        {
            assert_eq!(std::fs::read(first.join(file)).unwrap(), std::fs::read(second.join(file)).unwrap(), "{file}");
        }
    }

    /// Ends the training where profiles would begin.
    struct GivesUp;

    impl Progress for GivesUp {
        fn begin(&self, stage: &'static str, _steps: u64) {
            assert_ne!(stage, "profiles", "as if the process were killed");
        }

        fn step(&self) {}
    }

    #[test]
    fn an_interrupted_training_goes_on_and_ends_with_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (through, resumed) = (folder.path().join("a/tiny-v1"), folder.path().join("b/tiny-v1"));
        let sets = made_up();
        let work = Work::open(&folder.path().join("work"), "static", &sets, settings());
        train(&sets, &through, settings(), &Silent).unwrap();

        let killed = std::panic::AssertUnwindSafe(|| train_in(&work, &sets, &resumed, settings(), &GivesUp));
        assert!(std::panic::catch_unwind(killed).is_err());
        let left = std::fs::read_dir(folder.path().join("work")).unwrap().count();
        train_in(&work, &sets, &resumed, settings(), &Silent).unwrap();

        assert_eq!(left, 2 + FOLDS + 1, "vocabulary, encoder and folds were kept");
        for file in ["router.yaml", "model.onnx", "profiles.json"] {
            assert_eq!(
                std::fs::read(through.join(file)).unwrap(),
                std::fs::read(resumed.join(file)).unwrap(),
                "{file}"
            );
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
    fn what_learned_from_everything_has_nothing_left_to_be_measured_on() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("tiny-v1");
        let sets = made_up();

        train(&sets, &out, TrainSettings { lessons: Lessons::Everything, ..settings() }, &Silent).unwrap();

        let seen = std::fs::read(out.join("seen.bin")).unwrap().len() / 8;
        assert_eq!(seen, Examples::of(&sets, &HeldBack::from(&sets, Lessons::Everything)).seen.len());
        assert!(seen > Examples::of(&sets, &HeldBack::of(&sets)).seen.len());
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
