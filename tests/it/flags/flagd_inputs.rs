//! Random files in flagd's format, and contexts for them.
//!
//! Everything that the schema allows in rules is made, and contexts have values of all types where rules look, so that
//! most operators see most types. Left out is what cannot be compared: the evaluators raise an exception for the draw
//! by a key inside of a list, do not evaluate the first value of `reduce`, give all of the context for an empty name,
//! and cannot replace a reference by a rule that has a character beyond ASCII.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

/// The flag that is asked for.
pub(super) const FLAG: &str = "new-checkout";

/// Makes inputs.
pub(super) struct InputMaker {
    random: StdRng,
    /// The variants of the flag.
    variants: Vec<String>,
    /// Whether the rule is inside of an operator on lists.
    in_list: bool,
}

const NAMES: [&str; 12] = [
    "email",
    "plan",
    "age",
    "beta",
    "tags",
    "user",
    "user.name",
    "tags.0",
    "tags.length",
    "version",
    "none",
    "user.scores.1",
];

const KEYS: [&str; 5] = ["u1", "user-42", "jon@company.com", "\u{65e5}\u{672c}\u{8a9e}", ""];

impl InputMaker {
    /// The maker of the inputs of one case.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), variants: Vec::new(), in_list: false }
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.random).expect("not empty")
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    /// A file with the flag, one more, and rules to refer to.
    pub(super) fn file(&mut self) -> Value {
        let (names, values) = self.variants();
        self.variants = names;
        let mut flag = json!({"state": if self.chance(95) { "ENABLED" } else { "DISABLED" }, "variants": values});
        match self.random.random_range(0..10) {
            0 => {}
            1 => flag["defaultVariant"] = Value::Null,
            _ => {
                let names: Vec<&str> = self.variants.iter().map(String::as_str).collect();
                flag["defaultVariant"] = names.choose(&mut self.random).copied().into();
            }
        }
        if self.chance(92) {
            flag["targeting"] = self.result(4);
        } else if self.chance(50) {
            flag["targeting"] = json!({});
        }
        if self.chance(30) {
            flag["metadata"] = json!({"owner": "web", "version": self.random.random_range(0..3)});
        }
        let mut file = json!({"flags": {FLAG: flag, "other": {"state": "ENABLED", "variants": {"on": true}}}});
        file["$evaluators"] = json!({
            "first": self.condition(2),
            "second": {"or": [self.condition(1), {"==": [{"var": "plan"}, "pro"]}]},
        });
        if self.chance(30) {
            file["metadata"] = json!({"flagSetId": "shop", "version": "1"});
        }
        file
    }

    fn variants(&mut self) -> (Vec<String>, Map<String, Value>) {
        let (names, values): (&[&str], [Value; 4]) = match self.random.random_range(0..7) {
            0 => (&["true", "false"], [json!(true), json!(false), json!(true), json!(true)]),
            1 => (&["on", "off"], [json!(true), json!(false), json!(true), json!(true)]),
            2 => (&["red", "green", "blue", "none"], [json!("r"), json!("g"), json!(""), json!("none")]),
            3 => (&["1", "2", "0", "true"], [json!(1), json!(2), json!(0), json!(-7)]),
            4 => (&["low", "mid", "high", "2.5"], [json!(0.5), json!(1.0), json!(2.25), json!(0.0)]),
            5 => (&["a", "b", "c", "null"], [json!({}), json!({"x": [1, "y"]}), json!({"z": null}), json!({"a": 1.5})]),
            _ => (&["pro", "free", "u1", "1.2.0"], [json!("p"), json!("f"), json!("u"), json!("v")]),
        };
        let pairs = names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value));
        (names.iter().map(|name| (*name).to_owned()).collect(), pairs.collect())
    }

    fn variant(&mut self) -> Value {
        self.variants.choose(&mut self.random).cloned().expect("at least one").into()
    }

    /// A rule for the whole: mostly one that ends with a variant.
    fn result(&mut self, depth: u32) -> Value {
        match self.random.random_range(0..12) {
            0..4 => self.branches(depth),
            4..7 => self.fractional(depth),
            7 => json!({"$ref": self.one(&["first", "second"])}),
            8 => json!({"and": [self.condition(depth - 1), {"if": [true, self.variant()]}]}),
            9 => json!({"or": [{"if": [self.condition(depth - 1), self.variant()]}, {"var": "plan"}]}),
            10 => json!({self.one(&["cat", "+", "merge"]): [self.value(depth)]}),
            _ => self.condition(depth),
        }
    }

    fn outcome(&mut self, depth: u32) -> Value {
        match self.random.random_range(0..10) {
            0 => Value::Null,
            1 if depth > 0 => self.branches(depth - 1),
            2 if depth > 0 => self.fractional(depth - 1),
            3 => json!({"var": "plan"}),
            _ => self.variant(),
        }
    }

    fn branches(&mut self, depth: u32) -> Value {
        let mut arguments = Vec::new();
        for _ in 0..self.random.random_range(1..3) {
            arguments.push(self.condition(depth.saturating_sub(1)));
            arguments.push(self.outcome(depth));
        }
        if self.chance(60) {
            arguments.push(self.outcome(depth));
        }
        json!({"if": arguments})
    }

    fn fractional(&mut self, depth: u32) -> Value {
        let mut arguments = Vec::new();
        match self.random.random_range(0..8) {
            0..3 => {}
            3 => arguments.push(json!({"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]})),
            4 => arguments.push(json!({"var": "targetingKey"})),
            5 => arguments.push(json!({"var": self.one(&NAMES)})),
            6 => arguments.push(json!({"merge": [self.variant(), {"var": "age"}]})),
            _ => arguments.push(json!(self.one(&["salt", "a", "b"]))),
        }
        for _ in 0..self.random.random_range(1..5) {
            let value = if self.chance(80) { self.variant() } else { self.outcome(depth) };
            arguments.push(match self.random.random_range(0..8) {
                0 => json!([value]),
                1 => json!([value, {"if": [self.condition(depth.saturating_sub(1)), 30, 5]}]),
                2 => json!([value, {"-": [{"var": "$flagd.timestamp"}, super::flagd_case::NOW - 40]}]),
                3 => json!([value, self.random.random_range(-20..3)]),
                4 => json!([value, {"var": "age"}]),
                5 if self.chance(10) => json!([value, 500_000_000]),
                6 if self.chance(10) => json!([value, 25.0]),
                _ => json!([value, self.random.random_range(0..100)]),
            });
        }
        json!({"fractional": arguments})
    }

    fn condition(&mut self, depth: u32) -> Value {
        let depth = depth.saturating_sub(1);
        let comparison = self.one(&["==", "!=", "===", "!==", "<", "<=", ">", ">="]);
        match self.random.random_range(0..16) {
            0..4 => json!({comparison: [self.value(depth), self.value(depth)]}),
            4 => json!({self.one(&["<", "<="]): [self.value(depth), self.value(depth), self.value(depth)]}),
            5 => json!({"in": [self.value(depth), self.value(depth)]}),
            6 => json!({"in": [{"var": "plan"}, ["free", "pro", 7, true]]}),
            7 => json!({self.one(&["starts_with", "ends_with"]): [self.variable(), self.one(&["a", "us", "", "u"])]}),
            8 => {
                let relation = self.one(&["=", "!=", "<", "<=", ">", ">=", "^", "~"]);
                let other = self.one(&["1.2.0", "v1", "2.0.0-beta.1", "1.2", "0.9.9+build"]);
                json!({"sem_ver": [{"var": self.one(&["version", "age", "plan"])}, relation, other]})
            }
            9 if depth > 0 => json!({self.one(&["and", "or"]): [self.condition(depth), self.condition(depth)]}),
            10 if depth > 0 => json!({self.one(&["!", "!!"]): [self.value(depth)]}),
            11 => json!({self.one(&["!", "!!"]): {"missing": [self.one(&NAMES), self.one(&NAMES)]}}),
            12 => json!({"missing_some": [self.random.random_range(0..3), [self.one(&NAMES), self.one(&NAMES)]]}),
            13 if depth > 0 => {
                let quantifier = self.one(&["all", "some", "none"]);
                json!({quantifier: [self.list(depth), self.inside(depth)]})
            }
            _ => json!({"==": [self.variable(), self.value(depth)]}),
        }
    }

    fn variable(&mut self) -> Value {
        let name = if self.in_list && self.chance(60) { self.one(&["", "name", "0"]) } else { self.one(&NAMES) };
        match self.random.random_range(0..6) {
            0 => json!({"var": [name]}),
            1 => json!({"var": [name, self.one(&["pro", "1.2.0", "9"])]}),
            _ => json!({"var": name}),
        }
    }

    fn list(&mut self, depth: u32) -> Value {
        match self.random.random_range(0..6) {
            0 => json!([1, "2", 3.5, null, true]),
            1 if depth > 0 => json!({"merge": [{"var": "tags"}, [self.value(depth - 1)]]}),
            2 if depth > 0 => json!({"map": [{"var": "tags"}, self.inside(depth - 1)]}),
            3 if depth > 0 => json!({"filter": [{"var": "user.scores"}, self.inside(depth - 1)]}),
            _ => json!({"var": self.one(&["tags", "user.scores", "plan", "none"])}),
        }
    }

    /// A rule for the items of a list.
    fn inside(&mut self, depth: u32) -> Value {
        let outside = std::mem::replace(&mut self.in_list, true);
        let rule = if self.chance(50) { self.condition(depth) } else { self.value(depth) };
        self.in_list = outside;
        rule
    }

    fn value(&mut self, depth: u32) -> Value {
        let depth = depth.saturating_sub(1);
        match self.random.random_range(0..22) {
            0..6 => self.variable(),
            6 => json!(self.one(&["pro", "1", "", "a", "true", "2.5", "null", "z"])),
            7 => json!(self.random.random_range(-3..60)),
            8 => [json!(0.5), json!(25.0), json!(-1.5), json!(0), json!(1000)]
                .choose(&mut self.random)
                .cloned()
                .expect("one"),
            9 => [json!(null), json!(true), json!(false)].choose(&mut self.random).cloned().expect("one"),
            10 => json!(["pro", 1, null]),
            11 | 12 if depth > 0 => {
                let operator = self.one(&["+", "*", "min", "max", "/", "%", "-"]);
                json!({operator: [self.value(depth), self.value(depth)]})
            }
            13 if depth > 0 => json!({self.one(&["+", "-", "max"]): [self.value(depth)]}),
            14 if depth > 0 => json!({"cat": [self.value(depth), self.value(depth)]}),
            15 if depth > 0 => json!({"substr": [self.value(depth), self.random.random_range(-4..5)]}),
            16 if depth > 0 => {
                json!({"substr": [self.value(depth), self.random.random_range(-4..5), self.random.random_range(-3..5)]})
            }
            17 if depth > 0 => {
                let body = json!({self.one(&["+", "cat", "max"]): [{"var": "accumulator"}, {"var": "current"}]});
                json!({"reduce": [self.list(depth), body, 0]})
            }
            18 if depth > 0 => json!({"if": [self.condition(depth), self.value(depth), self.value(depth)]}),
            19 if depth > 0 => self.list(depth),
            20 if depth > 0 => self.condition(depth),
            _ => json!({"var": self.one(&["$flagd.flagKey", "targetingKey", "$flagd.timestamp"])}),
        }
    }

    /// A context: values of all types where rules look.
    pub(super) fn context(&mut self) -> Value {
        let mut context = json!({});
        if self.chance(90) {
            context["targetingKey"] = self.one(&KEYS).into();
        }
        for name in ["email", "plan", "age", "beta", "tags", "user", "version"] {
            if self.chance(80) {
                context[name] = self.attribute(name);
            }
        }
        context
    }

    fn attribute(&mut self, name: &str) -> Value {
        if self.chance(15) {
            return self.any();
        }
        match name {
            "email" => json!(self.one(&["ann@us", "bob@them", "jon@company.com"])),
            "plan" => json!(self.one(&["pro", "free", "on", "off", "true", "red", "a", "1"])),
            "age" => [json!(17), json!(42), json!(30.5), json!(25.0), json!("18")]
                .choose(&mut self.random)
                .cloned()
                .expect("one"),
            "beta" => json!(self.chance(50)),
            "tags" => [json!(["a", "b"]), json!([]), json!([1, 2.5, "3"]), json!([[1], {"name": "x"}])]
                .choose(&mut self.random)
                .cloned()
                .expect("one"),
            "user" => json!({"name": self.one(&["jack", "queen"]), "scores": [1, self.random.random_range(0..9), 3]}),
            _ => json!(self.one(&["1.2.0", "v1.2", "2.0.0-beta", "1", "1.2.0.0", "nonsense", "3.1.4+7"])),
        }
    }

    fn any(&mut self) -> Value {
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(-7),
            json!(0.1),
            json!(2.0),
            json!(9_007_199_254_740_993_i64),
            json!(""),
            json!("x"),
            json!([]),
            json!([1]),
            json!(["7"]),
            json!({}),
            json!({"name": "n", "scores": []}),
        ];
        values.choose(&mut self.random).cloned().expect("one")
    }
}
