//! A Llama whose weights can be learned: RMS norms, rotary positions, attention, gated feed-forward, head tied to the embeddings.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor, Var};
use rand::Rng;

use super::TinyError;

/// Longest prompt plus answer, in tokens.
pub const WINDOW: usize = 512;
/// Base of the rotary frequencies.
pub const THETA: f32 = 10_000.0;
/// What norms add before their root.
pub const EPSILON: f64 = 1e-5;
/// Width of one attention head.
const HEAD: usize = 32;

/// Sizes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens.
    pub vocabulary: usize,
    /// Width of a token's vector.
    pub hidden: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
}

impl Shape {
    /// Returns the larger model's sizes.
    pub fn target(vocabulary: usize) -> Self {
        Self { vocabulary, hidden: 128, inner: 256, layers: 4 }
    }

    /// Returns the smaller model's sizes.
    pub fn draft(vocabulary: usize) -> Self {
        Self { vocabulary, hidden: 64, inner: 128, layers: 2 }
    }

    /// Returns how many attention heads there are.
    pub fn heads(&self) -> usize {
        self.hidden / HEAD
    }

    /// Returns every weight's name and shape, as Hugging Face names them.
    pub fn weights(&self) -> Vec<(String, Vec<usize>)> {
        let Self { vocabulary, hidden, inner, layers } = *self;
        let mut weights = vec![
            ("model.embed_tokens.weight".to_owned(), vec![vocabulary, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
        ];
        for layer in 0..layers {
            let parts = [
                ("input_layernorm", vec![hidden]),
                ("post_attention_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![hidden, hidden]),
                ("self_attn.k_proj", vec![hidden, hidden]),
                ("self_attn.v_proj", vec![hidden, hidden]),
                ("self_attn.o_proj", vec![hidden, hidden]),
                ("mlp.gate_proj", vec![inner, hidden]),
                ("mlp.up_proj", vec![inner, hidden]),
                ("mlp.down_proj", vec![hidden, inner]),
            ];
            weights.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
        }
        weights
    }
}

/// A model with its weights.
pub struct Llama {
    /// Its sizes.
    pub shape: Shape,
    weights: BTreeMap<String, Var>,
}

impl Llama {
    /// Returns a model that knows nothing.
    ///
    /// # Errors
    /// When the weights cannot be laid out.
    pub fn random(shape: Shape, random: &mut impl Rng) -> Result<Self, TinyError> {
        let mut weights = BTreeMap::new();
        for (name, sizes) in shape.weights() {
            let count = sizes.iter().product();
            let numbers: Vec<f32> = match *sizes.as_slice() {
                // Uniform with variance 1 / width of what comes in.
                [_, width] => {
                    let bound = (3.0 / width as f32).sqrt();
                    (0..count).map(|_| random.random_range(-bound..bound)).collect()
                }
                _ => vec![1.0; count],
            };
            let tensor = Tensor::from_vec(numbers, sizes, &Device::Cpu)?;
            weights.insert(name, Var::from_tensor(&tensor)?);
        }
        Ok(Self { shape, weights })
    }

    /// Returns the model with these weights.
    ///
    /// # Errors
    /// When they are not numbers that can be learned.
    pub fn with(shape: Shape, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self, TinyError> {
        let mut weights = BTreeMap::new();
        for (name, tensor) in tensors {
            weights.insert(name, Var::from_tensor(&tensor.to_dtype(DType::F32)?)?);
        }
        Ok(Self { shape, weights })
    }

    /// Returns the weights by their names, in the names' order.
    pub fn weights(&self) -> impl Iterator<Item = (&String, &Var)> {
        self.weights.iter()
    }

    /// Returns what each token leads to, `[texts * length, hidden] f32`, for token ids `[texts, length] u32`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor, TinyError> {
        let (texts, length) = ids.dims2()?;
        let hidden = self.shape.hidden;
        let places = Places::new(length)?;
        let mut x = self.weight("model.embed_tokens")?.index_select(&ids.flatten_all()?, 0)?;
        for layer in 0..self.shape.layers {
            let named = |part: &str| format!("model.layers.{layer}.{part}");
            let normed = self.norm(&x, &named("input_layernorm"))?;
            let split = |part: &str| -> Result<Tensor, TinyError> {
                let y = self.linear(&normed, &named(part))?;
                Ok(y.reshape((texts, length, self.shape.heads(), HEAD))?.transpose(1, 2)?.contiguous()?)
            };
            let (q, k) = (split("self_attn.q_proj")?, split("self_attn.k_proj")?);
            let attended = places.attend(&q, &k, &split("self_attn.v_proj")?)?;
            let attended = attended.transpose(1, 2)?.contiguous()?.reshape((texts * length, hidden))?;
            x = (x + self.linear(&attended, &named("self_attn.o_proj"))?)?;
            let normed = self.norm(&x, &named("post_attention_layernorm"))?;
            let gate = self.linear(&normed, &named("mlp.gate_proj"))?.silu()?;
            let inner = (gate * self.linear(&normed, &named("mlp.up_proj"))?)?;
            x = (x + self.linear(&inner, &named("mlp.down_proj"))?)?;
        }
        self.norm(&x, "model.norm")
    }

    /// Returns the logits `[rows, vocabulary] f32` of what [`Self::forward`] returned.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, TinyError> {
        self.linear(hidden, "model.embed_tokens")
    }

    fn weight(&self, name: &str) -> Result<&Tensor, TinyError> {
        let name = format!("{name}.weight");
        let missing = || candle_core::Error::Msg(format!("no weight {name}"));
        Ok(self.weights.get(&name).ok_or_else(missing)?.as_tensor())
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor, TinyError> {
        Ok(x.matmul(&self.weight(name)?.t()?)?)
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor, TinyError> {
        let mean = (x.sqr()?.sum_keepdim(D::Minus1)? / self.shape.hidden as f64)?;
        Ok(x.broadcast_div(&(mean + EPSILON)?.sqrt()?)?.broadcast_mul(self.weight(name)?)?)
    }
}

/// What attention has to know of places: the rotary angles, and that nothing sees what comes later.
struct Places {
    cos: Tensor,
    sin: Tensor,
    later: Tensor,
}

impl Places {
    fn new(length: usize) -> Result<Self, TinyError> {
        let half = HEAD / 2;
        let angle = |place: usize, index: usize| place as f32 / THETA.powf(index as f32 / half as f32);
        let angles: Vec<f32> = (0..length).flat_map(|place| (0..half).map(move |index| angle(place, index))).collect();
        let angles = Tensor::from_vec(angles, (length, half), &Device::Cpu)?;
        let hidden = |row: usize, column: usize| if column > row { f32::NEG_INFINITY } else { 0.0 };
        let later: Vec<f32> = (0..length).flat_map(|row| (0..length).map(move |column| hidden(row, column))).collect();
        let later = Tensor::from_vec(later, (length, length), &Device::Cpu)?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()?, later })
    }

    /// Turns the halves of each head by their place (Su et al. 2021, in the order of halves that Hugging Face uses).
    fn turn(&self, x: &Tensor) -> Result<Tensor, TinyError> {
        let half = HEAD / 2;
        let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let first = (a.broadcast_mul(&self.cos)? - b.broadcast_mul(&self.sin)?)?;
        let second = (b.broadcast_mul(&self.cos)? + a.broadcast_mul(&self.sin)?)?;
        Ok(Tensor::cat(&[first, second], D::Minus1)?)
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor, TinyError> {
        let scale = 1.0 / (HEAD as f64).sqrt();
        let scores = (self.turn(q)?.matmul(&self.turn(k)?.t()?)? * scale)?.broadcast_add(&self.later)?;
        let raised = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let shares = raised.broadcast_div(&raised.sum_keepdim(D::Minus1)?)?;
        Ok(shares.matmul(v)?)
    }
}
