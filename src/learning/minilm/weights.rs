//! Reads weights in the safetensors format: eight bytes with the length of a JSON header, the header, the numbers.

use std::collections::HashMap;

use serde::Deserialize;

use crate::learning::{LearningError, matrix::Matrix};

/// Named tensors of f32.
pub struct Weights {
    tensors: HashMap<String, Matrix>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Weights {
    /// Reads a file; tensors of other types than f32 are left out.
    ///
    /// # Errors
    /// It is not in the format or is cut.
    pub fn parse(bytes: &[u8]) -> Result<Self, LearningError> {
        let failed = |message: String| LearningError::Encoder(message);
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| failed("the file is empty".to_owned()))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (header, numbers) = rest.split_at_checked(length).ok_or_else(|| failed("the file is cut".to_owned()))?;
        let header: HashMap<String, serde_json::Value> =
            serde_json::from_slice(header).map_err(|error| failed(error.to_string()))?;
        let mut tensors = HashMap::new();
        for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
            let entry: Entry = serde_json::from_value(value).map_err(|error| failed(error.to_string()))?;
            if entry.dtype == "F32" {
                let tensor =
                    entry.read(numbers).ok_or_else(|| failed(format!("tensor {name} does not fill its shape")))?;
                tensors.insert(name, tensor);
            }
        }
        Ok(Self { tensors })
    }

    /// Returns the number of transformer layers.
    pub fn layers(&self) -> usize {
        let has = |layer: &usize| self.tensors.contains_key(&format!("encoder.layer.{layer}.output.dense.weight"));
        (0..).take_while(has).count()
    }

    /// Returns a tensor of any number of rows.
    ///
    /// # Errors
    /// As for [`Weights::get`].
    pub fn table(&self, name: &str, columns: usize) -> Result<&Matrix, LearningError> {
        self.get(name, (self.tensors.get(name).map_or(0, |tensor| tensor.rows), columns))
    }

    /// Returns a tensor of the given rows and columns; a vector is one row.
    ///
    /// # Errors
    /// There is none of this name, or it has another shape.
    pub fn get(&self, name: &str, (rows, columns): (usize, usize)) -> Result<&Matrix, LearningError> {
        let tensor =
            self.tensors.get(name).ok_or_else(|| LearningError::Encoder(format!("there is no tensor {name}")))?;
        if (tensor.rows, tensor.columns) == (rows, columns) {
            return Ok(tensor);
        }
        let found = format!("tensor {name} is {} by {}, not {rows} by {columns}", tensor.rows, tensor.columns);
        Err(LearningError::Encoder(found))
    }
}

#[cfg(test)]
impl Weights {
    /// Returns weights of the encoder's kind, six words and one layer, with values that only look like weights.
    pub(super) fn made_up() -> Self {
        let (width, wide) = (super::WIDTH, 4 * super::WIDTH);
        let mut tensors = HashMap::new();
        let mut add = |name: String, rows: usize, columns: usize, middle: f32| {
            let value = |index: usize| ((index * 7919 + rows * 31 + name.len()) % 997) as f32 / 997.0 - 0.5;
            let data = (0..rows * columns).map(|index| middle + 0.1 * value(index)).collect();
            tensors.insert(name, Matrix { rows, columns, data });
        };
        for (name, rows) in [("word_embeddings", 6), ("position_embeddings", 512), ("token_type_embeddings", 2)] {
            add(format!("embeddings.{name}.weight"), rows, width, 0.0);
        }
        let linear = [
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", wide, width),
            ("output.dense", width, wide),
        ];
        let mut norms = vec!["embeddings".to_owned()];
        for layer in 0..1 {
            for (name, rows, columns) in linear {
                add(format!("encoder.layer.{layer}.{name}.weight"), rows, columns, 0.0);
                add(format!("encoder.layer.{layer}.{name}.bias"), 1, rows, 0.0);
            }
            norms.extend([format!("encoder.layer.{layer}.attention.output"), format!("encoder.layer.{layer}.output")]);
        }
        for norm in norms {
            add(format!("{norm}.LayerNorm.weight"), 1, width, 1.0);
            add(format!("{norm}.LayerNorm.bias"), 1, width, 0.0);
        }
        Self { tensors }
    }
}

impl Entry {
    fn read(&self, numbers: &[u8]) -> Option<Matrix> {
        let (rows, columns) = match self.shape.as_slice() {
            [columns] => (1, *columns),
            [rows, columns] => (*rows, *columns),
            _ => return None,
        };
        let bytes = numbers.get(self.data_offsets.0..self.data_offsets.1)?;
        let (chunks, rest) = bytes.as_chunks::<4>();
        let data: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        (rest.is_empty() && rows.checked_mul(columns)? == data.len()).then_some(Matrix { rows, columns, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, numbers: &[f32]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes
    }

    const HEADER: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
        "ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;

    #[test]
    fn a_tensor_is_found_by_name_and_shape() {
        let weights = Weights::parse(&file(HEADER, &[1.0, 2.0, 3.0, 4.0])).unwrap();

        assert_eq!(weights.get("a", (2, 2)).unwrap().row(1), [3.0, 4.0]);
        assert!(weights.get("a", (4, 1)).unwrap_err().to_string().contains("is 2 by 2, not 4 by 1"));
        assert!(weights.get("b", (2, 2)).unwrap_err().to_string().contains("no tensor b"));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let whole = file(HEADER, &[1.0, 2.0, 3.0, 4.0]);

        for length in 0..whole.len() {
            assert!(Weights::parse(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn offsets_beyond_the_file_are_refused() {
        let header = HEADER.replace("[0,16]", "[18446744073709551600,18446744073709551615]");

        assert!(Weights::parse(&file(&header, &[1.0; 4])).is_err());
    }
}
