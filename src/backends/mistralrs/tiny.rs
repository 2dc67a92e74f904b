//! A language model of 200,000 random weights, made in a moment: it says nothing sensible, and obeys every protocol.

use std::{collections::BTreeMap, fs, path::Path};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde_json::{Value, json};

/// Longest prompt plus answer, in tokens.
pub(in super::super) const WINDOW: u64 = 512;

const VOCABULARY: usize = 512;
const HIDDEN: usize = 64;
const KEYS: usize = 32;
const INNER: usize = 128;
const LAYERS: usize = 4;

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Writes the model's folder: a Llama with byte-level BPE and a ChatML template.
pub(in super::super) fn write(dir: &Path) {
    write_near(dir, 0.0);
}

/// Writes a model whose weights differ from the other's by up to `noise`.
pub(in super::super) fn write_near(dir: &Path, noise: f32) {
    let file = |name: &str, content: &Value| fs::write(dir.join(name), content.to_string()).unwrap();
    file("config.json", &config());
    file("generation_config.json", &json!({ "eos_token_id": [2, 0] }));
    file("tokenizer.json", &tokenizer());
    file("tokenizer_config.json", &tokenizer_config());
    fs::write(dir.join("model.safetensors"), weights(noise)).unwrap();
}

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": INNER, "vocab_size": VOCABULARY, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": WINDOW,
        "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32",
    })
}

fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "GPT2Tokenizer", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>", "chat_template": TEMPLATE,
    })
}

/// GPT-2's names of the 256 bytes: printable ones name themselves, the others follow from U+0100 on.
fn byte_names() -> Vec<char> {
    let is_own_name = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut spare = 256..;
    let name = |byte: u32| if is_own_name(byte) { byte } else { spare.next().unwrap() };
    (0..256).map(name).map(|code| char::from_u32(code).unwrap()).collect()
}

fn tokenizer() -> Value {
    let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let mut tokens: Vec<String> = special.iter().map(|name| (*name).to_owned()).collect();
    tokens.extend(byte_names().into_iter().map(String::from));
    let pairs = ('a'..='z').flat_map(|first| ('a'..='j').map(move |second| (first, second)));
    let pairs: Vec<(char, char)> = pairs.take(VOCABULARY - tokens.len()).collect();
    tokens.extend(pairs.iter().map(|(first, second)| format!("{first}{second}")));
    let added = |id: usize| {
        json!({ "id": id, "content": special[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [added(0), added(1), added(2)], "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": tokens.iter().zip(0..).collect::<BTreeMap<_, u32>>(),
            "merges": pairs.iter().map(|(first, second)| format!("{first} {second}")).collect::<Vec<_>>(),
        },
    })
}

/// Safetensors: the header's length in eight bytes, the header as JSON, the numbers.
fn weights(noise: f32) -> Vec<u8> {
    let mut random = ChaCha12Rng::seed_from_u64(1);
    let mut noises = ChaCha12Rng::seed_from_u64(2);
    let mut header = serde_json::Map::new();
    let mut numbers = Vec::new();
    for (name, shape) in tensors() {
        let begin = numbers.len();
        for _ in 0..shape.iter().product() {
            // Norms are one; the spread of the others makes the answers vary without making them certain.
            let number = if shape.len() == 1 { 1.0_f32 } else { random.random_range(-0.35..0.35) };
            let number = number + noise * noises.random_range(-1.0_f32..1.0);
            numbers.extend(number.to_le_bytes());
        }
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, numbers.len()] }));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let parts: [(&str, Vec<usize>); 9] = [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![KEYS, HIDDEN]),
            ("self_attn.v_proj", vec![KEYS, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![INNER, HIDDEN]),
            ("mlp.up_proj", vec![INNER, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INNER]),
        ];
        tensors.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
    }
    tensors
}
