//! The variant that a user gets of a flag, who is known by a key and attributes, and why it is that one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::Report;
use crate::flags::asked_attributes::AskedAttributes;
use crate::flags::{Evaluation, FlagCause, KnownUser, evaluate, reason};
use crate::problem::{Mismatch, listed, suggest};
use crate::table::compiled_flag::Flag;
use crate::table::{Name, Table};

/// What the key is called in a context of OpenFeature.
const TARGETING_KEY: &str = "targetingKey";

/// The user who is asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct EvaluateBody {
    /// The key of the user as `targetingKey`, and attributes by the names that the config has for them. Texts, numbers and
    /// true or false count; others fit nothing, but the rules of imported flags see all.
    #[schema(value_type = Option<Object>)]
    context: Option<Map<String, Value>>,
}

/// The variant of a flag for a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FlagEvaluation {
    /// The revision in force.
    revision: u64,
    /// The flag.
    flag: String,
    /// The variant; none of an imported flag that leaves it to the code that asks.
    variant: Option<String>,
    /// Its value.
    value: Option<Value>,
    /// What chose it: `disabled`, `rule` (a rule that serves one variant), `split` (a rule that draws users), `no_key` (a
    /// rule would draw, and there is no key), `experiment`, `followed`, or `default`; of an imported flag also `static` (it has no
    /// rule), `targeting` (its rule), `no_variant` (its rule gives something else) or `too_much_work` (its rule was ended).
    reason: &'static str,
    /// The rule that chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The slot of the user's key, if that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u32>,
    /// The experiment that took the user in.
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<String>,
    /// All of it in a sentence.
    why: String,
    /// What is likely to be a mistake in the question: attributes that nothing looks at which decides on the flag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl EvaluateBody {
    /// The user; none if the key is wrong.
    pub(crate) fn user<'t>(&self, table: &'t Table, report: &mut Report<'_>) -> Option<KnownUser<'t>> {
        let context = self.context.as_ref();
        let key = match context.and_then(|context| context.get(TARGETING_KEY)) {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) => Some(key.as_str().into()),
            Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                let at = ConfigPath::Root.key("context");
                let mismatch =
                    Mismatch::new(other.to_string(), "a text: the key of a user", "put it in quotation marks");
                report.problem(&at.key(TARGETING_KEY), mismatch);
                return None;
            }
        };
        let context = context.cloned().unwrap_or_default();
        Some(KnownUser { table, key, context, clock: || jiff::Timestamp::now().as_second() })
    }
}

impl FlagEvaluation {
    /// What `user` gets of `flag`.
    pub(crate) fn of(table: &Table, flag: &Flag, user: &KnownUser<'_>) -> Self {
        let found @ Evaluation { variant, why } = evaluate(table, flag, user);
        let variant = variant.and_then(|index| flag.spec.variants.get(usize::from(index)));
        let rule = |index: u16| flag.spec.rules()[usize::from(index)].name.to_string();
        let known = Self {
            revision: table.revision,
            flag: flag.spec.name.to_string(),
            variant: variant.map(|variant| variant.name.to_string()),
            value: variant.and_then(|variant| serde_json::from_str(&variant.json).ok()),
            reason: "default",
            rule: None,
            slot: None,
            experiment: None,
            why: reason(flag, found),
            warnings: unasked(table, flag, user),
        };
        match why {
            FlagCause::Disabled => Self { reason: "disabled", ..known },
            FlagCause::Default => known,
            FlagCause::Experiment(index) => {
                Self { reason: "experiment", experiment: flag.experiments.name(index).map(Name::to_string), ..known }
            }
            FlagCause::NoKey => Self { reason: "no_key", ..known },
            FlagCause::Followed => Self { reason: "followed", ..known },
            FlagCause::Static => Self { reason: "static", ..known },
            FlagCause::Targeting => Self { reason: "targeting", ..known },
            FlagCause::NoVariant => Self { reason: "no_variant", ..known },
            FlagCause::TooMuchWork => Self { reason: "too_much_work", ..known },
            FlagCause::Rule(index) => Self { reason: "rule", rule: Some(rule(index)), ..known },
            FlagCause::Slot { rule: index, slot } => {
                Self { reason: "split", rule: Some(rule(index)), slot: Some(slot), ..known }
            }
        }
    }
}

/// `found the attribute plann, which nothing looks at that decides on launch, want plan (did you mean "plan"?)`
fn unasked(table: &Table, flag: &Flag, user: &KnownUser<'_>) -> Vec<String> {
    let asked = AskedAttributes::of(table, &flag.spec);
    let names = asked.names();
    let given = user.context.keys().map(String::as_str).filter(|name| *name != TARGETING_KEY && !asked.has(name));
    given
        .map(|given| {
            let found = format!("the attribute {given:?}, which nothing looks at that decides on {}", flag.spec.name);
            let wanted = match names.is_empty() {
                true => "none: no attribute decides on it".to_owned(),
                false => format!("one of {}", listed(names.iter().copied())),
            };
            let remedy = match suggest(given, names.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => "leave it out".to_owned(),
            };
            Mismatch::new(found, wanted, remedy).to_string()
        })
        .collect()
}
