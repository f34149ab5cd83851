//! Why a run ends before or instead of its work, in the words that operators know.

/// How the original prints an error; scripts match the frame as well as the text (`gpcrondump.md` 0.8, `gpdbrestore.md` 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalClass {
    /// A known condition: ERROR `gpcrondump error: <text>`.
    Known,
    /// Any other failure: CRITICAL `gpcrondump failed. (Reason='<text>') exiting...`.
    Failed,
    /// A bad combination of arguments, of `gpdbrestore` only: ERROR `gpdbrestore: error: <text>`.
    Argument,
}

/// One refusal. All of them end with status 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub class: RefusalClass,
    pub text: String,
    /// What helps, as a sentence.
    pub hint: Option<String>,
}

impl Refusal {
    pub fn known(text: impl Into<String>) -> Self {
        Refusal {
            class: RefusalClass::Known,
            text: text.into(),
            hint: None,
        }
    }

    pub fn failed(text: impl Into<String>) -> Self {
        Refusal {
            class: RefusalClass::Failed,
            ..Refusal::known(text)
        }
    }

    pub fn argument(text: impl Into<String>) -> Self {
        Refusal {
            class: RefusalClass::Argument,
            ..Refusal::known(text)
        }
    }

    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Refusal {
            hint: Some(hint.into()),
            ..self
        }
    }
}
