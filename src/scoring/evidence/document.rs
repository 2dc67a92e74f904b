//! The file `evidence.bin`: a protobuf message, because its numbers are many and most of them small.

use prost::Message;

/// Prompts that lie nearest and are heard; with 20 prompts' worth of shrinkage, more of them add noise from farther away.
pub const NEIGHBOURS: usize = 64;
/// Grades are kept in this many steps.
pub const GRADE_STEPS: f64 = 255.0;
/// Low bits of a grade that hold its steps; the bits above hold the index of its profile.
const GRADE_BITS: u32 = 8;

/// What the training data say of models, prompt by prompt.
#[derive(Clone, PartialEq, Message)]
pub struct EvidenceDocument {
    /// Names of the profiles; every `[profiles]` below is in their order.
    #[prost(string, repeated, tag = "1")]
    pub profiles: Vec<String>,
    /// Mean predicted quality over all training prompts, `[profiles]`: unlike mean grades it compares models that were graded
    /// on different prompts.
    #[prost(float, repeated, tag = "2")]
    pub overall: Vec<f32>,
    /// Entries of an embedding.
    #[prost(uint32, tag = "3")]
    pub width: u32,
    /// Directions of the clusters, each of length 1, `[clusters, width]`.
    #[prost(float, repeated, tag = "4")]
    pub centroids: Vec<f32>,
    /// Sum of the grades, `[clusters, profiles]`.
    #[prost(float, repeated, tag = "5")]
    pub sums: Vec<f32>,
    /// Number of the grades, `[clusters, profiles]`.
    #[prost(float, repeated, tag = "6")]
    pub counts: Vec<f32>,
    /// Embeddings of graded prompts as signed bytes, `[prompts, width]`.
    #[prost(bytes = "vec", tag = "7")]
    pub embeddings: Vec<u8>,
    /// What one step of those bytes is worth, `[prompts]`.
    #[prost(float, repeated, tag = "8")]
    pub scales: Vec<f32>,
    /// Where the grades of each prompt end in `grades`, `[prompts]`.
    #[prost(uint32, repeated, tag = "9")]
    pub ends: Vec<u32>,
    /// Grades, prompt after prompt, as [`Grade::packed`] gives them.
    #[prost(uint32, repeated, tag = "10")]
    pub grades: Vec<u32>,
    /// What the graph gives for some training prompts.
    #[prost(message, repeated, tag = "11")]
    pub samples: Vec<SampleDocument>,
}

/// What the graph gives for a training prompt.
#[derive(Clone, PartialEq, Message)]
pub struct SampleDocument {
    /// Estimated tokens of the prompt.
    #[prost(uint64, tag = "1")]
    pub input_tokens: u64,
    /// The graph's output.
    #[prost(float, repeated, tag = "2")]
    pub embedding: Vec<f32>,
    /// The graph's output.
    #[prost(float, repeated, tag = "3")]
    pub latent: Vec<f32>,
    /// The graph's output.
    #[prost(float, repeated, tag = "4")]
    pub output_tokens: Vec<f32>,
}

/// A model's grade on a prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grade {
    /// Index among the profiles.
    pub profile: usize,
    /// The grade, `[0, 1]`.
    pub score: f64,
}

impl Grade {
    /// Returns the grade as one number; the score is rounded to a step.
    pub fn packed(self) -> u32 {
        let steps = (self.score.clamp(0.0, 1.0) * GRADE_STEPS).round() as u32;
        (self.profile as u32) << GRADE_BITS | steps
    }

    /// Returns the grade that [`Grade::packed`] packed.
    pub fn unpacked(packed: u32) -> Self {
        let steps = packed & ((1 << GRADE_BITS) - 1);
        Self { profile: (packed >> GRADE_BITS) as usize, score: f64::from(steps) / GRADE_STEPS }
    }
}

/// Why a file is not evidence for its artifact.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It is no message of this kind, or was cut.
    #[error("not an evidence file: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Its embeddings are not the graph's.
    #[error("its embeddings have {found} entries, router.yaml says {expected}")]
    Width {
        /// In the file.
        found: u32,
        /// In `router.yaml`.
        expected: usize,
    },
    /// A list is too long or too short for the others.
    #[error("`{0}` does not have the length that the other lists need")]
    Length(&'static str),
    /// A number is not finite or out of its range.
    #[error("`{0}` has a number out of its range")]
    Number(&'static str),
}

impl EvidenceDocument {
    /// Reads a file and checks that every list fits the others.
    ///
    /// # Errors
    /// It does not.
    pub fn parse(bytes: &[u8], width: usize, latent: usize) -> Result<Self, EvidenceError> {
        let document = Self::decode(bytes)?;
        if document.width as usize != width || width == 0 {
            return Err(EvidenceError::Width { found: document.width, expected: width });
        }
        document.check_lengths(latent)?;
        document.check_numbers()?;
        Ok(document)
    }

    fn check_lengths(&self, latent: usize) -> Result<(), EvidenceError> {
        let (width, profiles, prompts) = (self.width as usize, self.profiles.len(), self.scales.len());
        let clusters = self.centroids.len() / width;
        let is_ascending =
            self.ends.is_sorted() && self.ends.last().map_or(0, |end| *end as usize) == self.grades.len();
        let sample_fits = |sample: &SampleDocument| {
            (sample.embedding.len(), sample.latent.len(), sample.output_tokens.len()) == (width, latent, 2)
        };
        let facts = [
            ("overall", self.overall.len() == profiles),
            ("centroids", self.centroids.len() == clusters * width),
            ("sums", self.sums.len() == clusters * profiles),
            ("counts", self.counts.len() == clusters * profiles),
            ("embeddings", self.embeddings.len() == prompts * width),
            ("ends", self.ends.len() == prompts && is_ascending),
            ("samples", self.samples.iter().all(sample_fits)),
        ];
        match facts.iter().find(|(_, fits)| !fits) {
            Some((name, _)) => Err(EvidenceError::Length(name)),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), EvidenceError> {
        let is_finite = |numbers: &[f32]| numbers.iter().all(|number| number.is_finite());
        let is_sum = |(sum, count): (&f32, &f32)| (0.0..=*count).contains(sum) && count.is_finite();
        let is_sample_finite = |sample: &SampleDocument| {
            is_finite(&sample.embedding) && is_finite(&sample.latent) && is_finite(&sample.output_tokens)
        };
        let facts = [
            ("overall", self.overall.iter().all(|mean| (0.0..=1.0).contains(mean))),
            ("centroids", is_finite(&self.centroids)),
            ("sums", self.sums.iter().zip(&self.counts).all(is_sum)),
            ("scales", self.scales.iter().all(|scale| (0.0..1.0).contains(scale))),
            ("grades", self.grades.iter().all(|grade| Grade::unpacked(*grade).profile < self.profiles.len())),
            ("samples", self.samples.iter().all(is_sample_finite)),
        ];
        match facts.iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(EvidenceError::Number(name)),
            None => Ok(()),
        }
    }
}
