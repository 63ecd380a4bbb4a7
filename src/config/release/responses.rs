//! `[services.S.rollout.judge] responses = { ... }`: what follows when responses change that do not fail.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Scalar, Setting};
use crate::problem::Mismatch;
use crate::rollout::judge::response_rules::{ResponseAction, ResponseRules};

/// More beginnings than this are a plan that asks for nothing; each request is compared with all of them.
const EXCEPT_MAX: usize = 64;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawResponses {
    status: Option<Setting<ResponseAction>>,
    length: Option<Setting<ResponseAction>>,
    #[serde(rename = "type")]
    media_type: Option<Setting<ResponseAction>>,
    except: Option<List<String>>,
}

impl RawResponses {
    /// What follows.
    pub(crate) fn rules(&self) -> ResponseRules {
        let default = ResponseRules::default();
        ResponseRules {
            status: self.status.map_or(default.status, |read| read.0),
            length: self.length.map_or(default.length, |read| read.0),
            media_type: self.media_type.map_or(default.media_type, |read| read.0),
        }
    }

    /// Of which paths it is not asked.
    pub(crate) fn except(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<[Box<str>]>, ErrorGuaranteed> {
        let Some(list) = &self.except else { return Ok(Arc::default()) };
        if list.iter().count() > EXCEPT_MAX {
            let found = format!("{} beginnings of paths", list.iter().count());
            let wanted = format!("at most {EXCEPT_MAX}");
            return Err(report.problem(at, Mismatch::new(found, wanted, "name what they have in common")));
        }
        let prefixes = every(list.iter().map(|(index, text)| {
            let visible = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
            if visible && !text.contains(['?', '#']) {
                return Ok(Box::from(text.as_str()));
            }
            let wanted = "a path that begins with / and has only visible ASCII without ? and #";
            Err(report.problem(&at.item(index), Mismatch::new(format!("{text:?}"), wanted, "correct it")))
        }))?;
        Ok(prefixes.into())
    }
}

impl FromScalar for ResponseAction {
    const WANTED: &'static str = "\"roll_back\", \"hold\" or \"off\"";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let Scalar::Text(word) = scalar else { return None };
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}
