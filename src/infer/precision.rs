//! How exactly networks compute, and which provider can compute so. Nothing is less exact than 32-bit floats unless
//! somebody asks for it.

use super::provider::Provider;

/// What can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// What is as exact as [`Self::Fp32`].
    #[default]
    Auto,
    /// 32-bit floats, whose products are not rounded to fewer digits either (TF32).
    Fp32,
    /// 16-bit floats in upscalers, around which samples are still converted in 32 bits.
    Fp16,
    /// Sums of 32 bits over products of 16, as OpenVINO chooses them.
    Bf16,
}

/// What the machine has, and what its environment says.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// The processor multiplies bfloat16 by itself.
    pub bf16: bool,
    /// NVIDIA's libraries are told to leave TF32 alone. ONNX Runtime cannot tell TensorRT.
    pub tf32_is_off: bool,
}

impl Units {
    /// Those of this machine.
    pub fn here() -> Self {
        Self { bf16: has_bf16(), tf32_is_off: std::env::var(TF32).is_ok_and(|value| value == "0") }
    }
}

/// The variable that NVIDIA's libraries read: 0 keeps them from TF32.
const TF32: &str = "NVIDIA_TF32_OVERRIDE";

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    // Processors with AMX have this, too.
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bf16() -> bool {
    false
}

impl Precision {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Fp32, Self::Fp16, Self::Bf16];

    /// The name of the numbers that come of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto | Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        }
    }

    /// Why a provider cannot compute so on a machine; `None` where it can.
    pub fn refused_by(self, provider: Provider, units: Units) -> Option<String> {
        let reason = match (self, provider) {
            (Self::Auto | Self::Fp32, Provider::TensorRt) if !units.tf32_is_off => {
                "it would round products of fp32 to 10 bits (TF32): set precision=fp16, or NVIDIA_TF32_OVERRIDE=0 in the environment"
            }
            (Self::Auto | Self::Fp32, _) => return None,
            (Self::Fp16, Provider::OpenVino) => {
                "it computes in fp32 or bf16 on a processor, not in fp16: set precision"
            }
            (Self::Fp16, _) => return None,
            (Self::Bf16, Provider::OpenVino) if units.bf16 => return None,
            (Self::Bf16, Provider::OpenVino) => {
                "this processor cannot multiply bf16 (it has no AVX-512 BF16 or AMX): set precision=fp32"
            }
            (Self::Bf16, _) => {
                "it does not compute in bf16, which only openvino does: set precision or execution-provider"
            }
        };
        Some(reason.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: [Units; 4] = [
        Units { bf16: false, tf32_is_off: false },
        Units { bf16: false, tf32_is_off: true },
        Units { bf16: true, tf32_is_off: false },
        Units { bf16: true, tf32_is_off: true },
    ];

    #[test]
    fn nothing_less_than_fp32_comes_of_asking_for_nothing() {
        for units in UNITS {
            for provider in Provider::ALL {
                let refused = [Precision::Auto, Precision::Fp32].map(|wish| wish.refused_by(provider, units));
                assert_eq!(refused[0], refused[1]);
                let rounds = provider == Provider::TensorRt && !units.tf32_is_off;
                assert_eq!(refused[0].is_some(), rounds, "{provider:?} {units:?}: {refused:?}");
            }
        }
        assert_eq!(Precision::default().name(), "fp32");
    }

    #[test]
    fn what_a_provider_cannot_do_is_refused_in_one_line_with_a_way_out() {
        for units in UNITS {
            for (provider, fp16, bf16) in [
                (Provider::Cpu, true, false),
                (Provider::Cuda, true, false),
                (Provider::TensorRt, true, false),
                (Provider::OpenVino, false, units.bf16),
            ] {
                for (wish, can) in [(Precision::Fp16, fp16), (Precision::Bf16, bf16)] {
                    let refused = wish.refused_by(provider, units);
                    assert_eq!(refused.is_none(), can, "{wish:?} on {provider:?}: {refused:?}");
                    let line = refused.unwrap_or("set".into());
                    assert!(line.contains("set") && line.lines().count() == 1, "{line}");
                }
            }
        }
    }
}
