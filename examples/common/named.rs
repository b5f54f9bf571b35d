//! Providers as scripts name them.

use gstfacesr::infer::precision::Precision;
use gstfacesr::infer::provider::Provider;

/// A provider, a colon and a precision, or the provider alone.
pub fn parse_provider(text: &str) -> Result<(Provider, Precision), String> {
    let (name, precision) = text.split_once(':').unwrap_or((text, "fp32"));
    let provider = Provider::ALL.into_iter().find(|provider| provider.name() == name);
    let precision = Precision::ALL.into_iter().skip(1).find(|known| known.name() == precision);
    provider.zip(precision).ok_or_else(|| format!("no provider or precision: {text}"))
}
