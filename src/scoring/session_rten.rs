//! The graph on RTen, pure Rust and always there; the only file that knows the crate.

use std::sync::Arc;

use rten::{Model, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::{NdTensor, prelude::*};

use super::session::{ATTENTION_MASK, INPUT_IDS, OUTPUTS, Outputs, Rows, Session, SessionError, outputs_of};

fn failed(action: &'static str) -> impl Fn(&dyn std::fmt::Display) -> SessionError {
    move |error| SessionError::Engine { engine: "rten", action, message: error.to_string() }
}

/// A graph that RTen has loaded; sessions share it.
pub struct RtenGraph {
    model: Model,
    ids: NodeId,
    mask: NodeId,
    outputs: [NodeId; 3],
}

impl RtenGraph {
    /// Loads an ONNX graph.
    ///
    /// # Errors
    /// The bytes are not a graph that RTen runs, or a node of the contract is missing.
    pub fn load(onnx: Vec<u8>) -> Result<Arc<Self>, SessionError> {
        let model = Model::load(onnx).map_err(|error| failed("load the graph")(&error))?;
        let node = |name: &'static str| model.find_node(name).ok_or(SessionError::MissingNode(name));
        let (ids, mask) = (node(INPUT_IDS)?, node(ATTENTION_MASK)?);
        let [embedding, latent, output_tokens] = OUTPUTS;
        let outputs = [node(embedding)?, node(latent)?, node(output_tokens)?];
        Ok(Arc::new(Self { model, ids, mask, outputs }))
    }
}

/// A session on RTen: the shared graph and a thread to run it on.
pub struct RtenSession {
    graph: Arc<RtenGraph>,
    options: RunOptions,
}

impl RtenSession {
    /// Returns a session of its own thread, so that sessions do not wait for each other.
    pub fn new(graph: Arc<RtenGraph>) -> Self {
        let options = RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(1))));
        Self { graph, options }
    }
}

impl Session for RtenSession {
    fn run_batch(&mut self, prompts: &[&[u32]]) -> Result<Vec<Outputs>, SessionError> {
        let graph = &self.graph;
        // RTen holds i64 inputs as i32.
        let Rows { shape, ids, mask } = Rows::of(prompts, u32::cast_signed);
        let (ids, mask) = (NdTensor::from_data(shape, ids), NdTensor::from_data(shape, mask));
        let inputs = vec![(graph.ids, ids.into()), (graph.mask, mask.into())];
        let values = graph
            .model
            .run(inputs, &graph.outputs, Some(self.options.clone()))
            .map_err(|error| failed("run the graph")(&error))?;
        let mut values = values.into_iter().zip(OUTPUTS).map(|(value, name)| rows_of(value, name, prompts.len()));
        let mut next = |name| values.next().unwrap_or(Err(SessionError::MissingNode(name)));
        let [embedding, latent, output_tokens] = OUTPUTS;
        Ok(outputs_of(prompts.len(), [next(embedding)?, next(latent)?, next(output_tokens)?]))
    }
}

fn rows_of(value: Value, name: &'static str, rows: usize) -> Result<Vec<f32>, SessionError> {
    let tensor = value.into_tensor::<f32>().ok_or(SessionError::BadOutput(name))?;
    if tensor.ndim() != 2 || tensor.size(0) != rows {
        return Err(SessionError::BadOutput(name));
    }
    Ok(tensor.to_vec())
}
