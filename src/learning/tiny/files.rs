//! The folder of a model, as Hugging Face lays it out.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor, safetensors};
use serde_json::{Value, json};

use super::{
    TinyError,
    llama::{EPSILON, Llama, Shape, THETA, WINDOW},
    words::Words,
};

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Writes the model; weights are rounded to 16 bits.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(folder: &Path, words: &Words, llama: &Llama) -> Result<(), TinyError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TinyError::File { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let documents = [
        ("config.json", config(&llama.shape)),
        ("generation_config.json", json!({ "eos_token_id": [2, 0] })),
        ("tokenizer.json", words.document().clone()),
        ("tokenizer_config.json", tokenizer_config()),
    ];
    for (name, document) in documents {
        let path = folder.join(name);
        fs::write(&path, format!("{document}\n")).map_err(failed(&path))?;
    }
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (name, var) in llama.weights() {
        tensors.insert(name.clone(), var.as_tensor().to_dtype(DType::F16)?);
    }
    Ok(safetensors::save(&tensors, folder.join("model.safetensors"))?)
}

/// Reads a model that [`write`] wrote.
///
/// # Errors
/// When a file is missing or malformed.
pub fn read(folder: &Path) -> Result<(Words, Llama), TinyError> {
    let words = Words::of(document(&folder.join("tokenizer.json"))?)?;
    let config = document(&folder.join("config.json"))?;
    let size = |key: &str| config.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let shape = Shape {
        vocabulary: size("vocab_size").unwrap_or_default(),
        hidden: size("hidden_size").unwrap_or_default(),
        inner: size("intermediate_size").unwrap_or_default(),
        layers: size("num_hidden_layers").unwrap_or_default(),
    };
    let tensors = safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
    Ok((words, Llama::with(shape, tensors)?))
}

fn document(path: &Path) -> Result<Value, TinyError> {
    let text = fs::read_to_string(path).map_err(|source| TinyError::File { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| TinyError::Malformed { path: path.to_owned(), source })
}

fn config(shape: &Shape) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": shape.hidden, "intermediate_size": shape.inner, "vocab_size": shape.vocabulary,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads(),
        "num_key_value_heads": shape.heads(), "rms_norm_eps": EPSILON, "rope_theta": THETA,
        "max_position_embeddings": WINDOW, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2,
        "torch_dtype": "float16",
    })
}

fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "GPT2Tokenizer", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>", "chat_template": TEMPLATE,
    })
}
