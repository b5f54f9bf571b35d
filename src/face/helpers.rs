//! Networks that the user brings and that help with faces: one that tells people apart, and one that tells skin from hair.
//! Where one is not given, fails or has too few pixels to go by, agreement and the ellipse of the
//! landmarks do without it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::align::Window;
use super::guard::By;
use super::identity::Identity;
use super::known::Known;
use super::mask::smoothstep;
use super::parse::Parser;
use super::parse::cover::fresh;
use super::settings::Settings;
use super::track::Track;
use super::{FaceError, Missed};
use crate::infer::runtime::Runtime;
use crate::infer::{Cancel, InferError};

/// Heights of faces, in pixels of the small picture, up to which a parser is not asked, because it sees too little
/// of them, and from which it is believed wholly; between them a little more with each pixel.
const PARSED: (f32, f32) = (super::identity::SMALLEST, 40.0);

/// The networks.
#[derive(Default)]
pub struct Helpers {
    /// Tells people apart.
    pub identity: Option<Identity>,
    /// Tells skin from hair.
    pub parser: Option<Parser>,
}

/// What the networks are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperNames {
    /// What tells people apart.
    pub identity: Option<String>,
    /// What tells skin from hair, and what kind it is.
    pub parser: Option<(String, String)>,
}

/// A face of this frame that is to be laid over the picture.
pub(super) struct Finished<'a> {
    pub track: &'a Track,
    pub window: Window,
    /// The share of it that is to be blended in, as far as the guard allows.
    pub share: f32,
    /// How far it agreed with its source.
    pub agreed: f32,
}

impl Helpers {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// [`FaceError::Infer`], one line that says what does not fit.
    pub fn load(settings: &Settings, runtime: &'static Runtime) -> Result<Self, FaceError> {
        let options = &settings.options;
        let identity = settings.embedding.as_deref().map(|path| Identity::load(runtime, path, options));
        let parser = settings.parsing.as_deref().map(|path| Parser::load(runtime, path, options));
        Ok(Self { identity: identity.transpose()?, parser: parser.transpose()? })
    }

    /// What they are called.
    pub fn names(&self) -> HelperNames {
        let kind = |parser: &Parser| (parser.name().into(), parser.kind().name.into());
        HelperNames {
            identity: self.identity.as_ref().map(|identity| identity.name().into()),
            parser: self.parser.as_ref().map(kind),
        }
    }

    /// What stops their runs from another thread.
    pub fn cancellers(&self) -> impl Iterator<Item = Arc<dyn Cancel>> + '_ {
        let identity = self.identity.iter().map(Identity::canceller);
        identity.chain(self.parser.iter().map(Parser::canceller))
    }

    /// Judges every face: by its embedding where that is due, else by agreement. Gives what the network did not do.
    ///
    /// # Errors
    /// [`InferError::Cancelled`] alone.
    pub(super) fn judge(
        &mut self,
        faces: &[Finished<'_>],
        known: &mut BTreeMap<u64, Known>,
    ) -> Result<Missed, InferError> {
        let mut missed = Missed::default();
        let (mut due, mut pairs) = (Vec::new(), Vec::new());
        for face in faces {
            let known = known.entry(face.track.id).or_default();
            if self.identity.is_none() || !known.is_embedded(face.track.area.height) {
                known.guard.judge(By::Agreement, face.agreed);
            } else if known.guard.wants_embedding()
                && let Some(pair) = known.pair(&face.track.landmarks)
            {
                due.push(face);
                pairs.push(pair);
            }
        }
        let Some(identity) = self.identity.as_mut().filter(|_| !pairs.is_empty()) else { return Ok(missed) };
        for (face, likeness) in due.into_iter().zip(identity.likenesses(&pairs)?) {
            let guard = &mut known.entry(face.track.id).or_default().guard;
            match likeness {
                Ok(likeness) => guard.judge(By::Embedding, likeness),
                Err(error) => {
                    guard.judge(By::Agreement, face.agreed);
                    missed.count(error);
                }
            }
        }
        Ok(missed)
    }

    /// Finds for every face what may be laid over. Gives what the network did not do.
    ///
    /// What was restored is parsed, as it is going to be laid over, not the source: such networks know sharp faces, it has
    /// less noise, and where hair is and what colours it has was taken from the source.
    ///
    /// # Errors
    /// [`InferError::Cancelled`] alone.
    pub(super) fn cover(
        &mut self,
        faces: &[Finished<'_>],
        known: &mut BTreeMap<u64, Known>,
    ) -> Result<Missed, InferError> {
        let mut missed = Missed::default();
        let Some(parser) = &mut self.parser else { return Ok(missed) };
        for face in faces {
            let known = known.entry(face.track.id).or_default();
            let believed = smoothstep(PARSED.0, PARSED.1, face.track.area.height);
            let mut seen = None;
            if believed > 0.0 {
                let crop = known.to_parse(&face.track.landmarks);
                match crop.map(|crop| parser.parse(&crop)).transpose() {
                    Err(InferError::Cancelled) => return Err(InferError::Cancelled),
                    Err(error) => missed.count(error),
                    Ok(is_face) => {
                        seen = is_face.as_ref().and_then(fresh);
                        if seen.is_none() {
                            missed.count("it sees no face");
                        }
                    }
                }
            }
            let fresh = seen.map(|plane| plane.mapv(|value| 1.0 - believed * (1.0 - value)));
            known.cover(fresh, &face.track.landmarks);
        }
        Ok(missed)
    }
}
