//! What is minimised, and the steps towards it.

use candle_core::{D, Device, Tensor, Var};

use super::{
    TinyError,
    llama::Llama,
    measure::{Read, answers},
};

const RATE: f64 = 3e-3;
const WARM_UP: u64 = 50;
const DECAYS: (f64, f64) = (0.9, 0.98);
const LARGEST_NORM: f64 = 1.0;

/// Returns the mean of minus the natural log-probability of the answers' tokens.
///
/// # Errors
/// When a computation fails.
pub fn loss(llama: &Llama, batch: &[Read]) -> Result<Tensor, TinyError> {
    let logits = answers(llama, batch)?;
    let expected: Vec<u32> = batch.iter().flat_map(|read| read.expected().to_vec()).collect();
    let expected = Tensor::from_vec(expected, (logits.dim(0)?, 1), &Device::Cpu)?;
    let lowered = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let total = lowered.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok((total - lowered.gather(&expected, 1)?)?.mean_all()?)
}

/// Adam (Kingma and Ba 2015) with a warm-up, a cosine to zero and a bound on the gradient's norm.
pub struct Adam {
    moments: Vec<(Var, Tensor, Tensor)>,
    taken: u64,
    steps: u64,
}

impl Adam {
    /// Returns the optimiser of a model's weights over so many steps.
    ///
    /// # Errors
    /// When the moments cannot be laid out.
    pub fn new(llama: &Llama, steps: u64) -> Result<Self, TinyError> {
        let mut moments = Vec::new();
        for (_, var) in llama.weights() {
            moments.push((var.clone(), var.zeros_like()?, var.zeros_like()?));
        }
        Ok(Self { moments, taken: 0, steps })
    }

    /// Takes one step downwards.
    ///
    /// # Errors
    /// When a computation fails.
    pub fn step(&mut self, loss: &Tensor) -> Result<(), TinyError> {
        let gradients = loss.backward()?;
        let mut squares = 0.0;
        for (var, _, _) in &self.moments {
            if let Some(gradient) = gradients.get(var) {
                squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let shrink = (LARGEST_NORM / (squares.sqrt() + 1e-6)).min(1.0);
        self.taken += 1;
        let taken = i32::try_from(self.taken).unwrap_or(i32::MAX);
        let (first, second) = DECAYS;
        let rate = self.rate() * (1.0 - second.powi(taken)).sqrt() / (1.0 - first.powi(taken));
        for (var, mean, spread) in &mut self.moments {
            let Some(gradient) = gradients.get(var) else { continue };
            let gradient = (gradient * shrink)?;
            *mean = ((&*mean * first)? + (&gradient * (1.0 - first))?)?.detach();
            *spread = ((&*spread * second)? + (gradient.sqr()? * (1.0 - second))?)?.detach();
            let step = (&*mean / (spread.sqrt()? + 1e-8)?)?;
            var.set(&(var.as_tensor() - (step * rate)?)?)?;
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        let warm = (self.taken as f64 / WARM_UP as f64).min(1.0);
        let way = self.taken as f64 / self.steps as f64;
        RATE * warm * (0.5 + 0.5 * (std::f64::consts::PI * way).cos())
    }
}
