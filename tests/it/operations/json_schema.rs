//! What `--json` prints, as a schema: made of the API's own description, and kept by what the commands print.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::support::Origin;
use crate::support::external_tools::python;
use crate::support::process::{Process, config};

const SCHEMA: &str = "docs/json.schema.json";

/// The commands, and the call whose answer each of them prints.
const COMMANDS: [(&str, &str); 16] = [
    ("status", "get /v1/status"),
    ("status SERVICE", "get /v1/services/{service}"),
    ("shift", "put /v1/services/{service}/split"),
    ("flip", "post /v1/services/{service}/flip"),
    ("rollback", "post /v1/rollback"),
    ("hold start", "post /v1/hold"),
    ("hold list", "get /v1/hold"),
    ("hold release", "delete /v1/hold/{id}"),
    ("history", "get /v1/revisions"),
    ("explain", "post /v1/explain"),
    ("drain", "put /v1/services/{service}/versions/{version}/endpoints/{address}"),
    ("rollout start", "post /v1/rollouts"),
    ("rollout status", "get /v1/rollouts"),
    ("rollout status ID", "get /v1/rollouts/{id}"),
    ("mirror", "get /v1/services/{service}/mirror"),
    ("chaos status", "get /v1/chaos"),
];

/// With the references of an OpenAPI document as those of a schema.
fn referring(value: Value) -> Value {
    match value {
        Value::String(text) => text.replace("#/components/schemas/", "#/$defs/").into(),
        Value::Array(items) => items.into_iter().map(referring).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, referring(value))).collect(),
        other => other,
    }
}

/// The schema of what a call answers when it is done.
fn answered(openapi: &Value, call: &str) -> Value {
    let (method, path) = call.split_once(' ').unwrap();
    let responses = &openapi["paths"][path][method]["responses"];
    let done = ["200", "201"].iter().map(|status| &responses[status]).find(|response| response.is_object());
    let done = done.unwrap_or_else(|| panic!("{call}: no answer in {responses:#}"));
    referring(done["content"]["application/json"]["schema"].clone())
}

fn schema(openapi: &Value) -> Value {
    let commands: Map<String, Value> =
        COMMANDS.iter().map(|(command, call)| ((*command).to_owned(), answered(openapi, call))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pointsman --json",
        "description": "What `pointsman COMMAND --json` prints is an instance of the property COMMAND. A refusal is one of \
                        $defs/Problem, with an exit code other than 0.",
        "properties": commands,
        "$defs": referring(openapi["components"]["schemas"].clone()),
    })
}

/// What a command prints.
fn printed(process: &Process, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(["--admin", &process.admin_address.to_string(), "--json"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}\n{err}");
    out.into_owned()
}

#[test]
fn what_json_prints_is_what_its_schema_says() {
    let Some(python) = python(SCHEMA) else { return };
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    let more = "slo = { availability = 99 }\nrollout = { steps = [10, 100], bake = \"10m\" }\n";
    std::fs::write(&path, config(v1.address(), v2.address(), more) + &state).unwrap();
    let process = Process::start(&path);
    let wanted = schema(&process.get("/v1/openapi.json"));
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA);
    let text = serde_json::to_string_pretty(&wanted).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&committed, &text).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(found == text, "{SCHEMA}: not what the API says (UPDATE_GOLDEN=1 writes it anew)");

    let address = v1.address().to_string();
    let asked: [(&str, &[&str]); 16] = [
        ("shift", &["shift", "shop", "v1=90", "v2=10"]),
        ("flip", &["flip", "shop", "v1"]),
        ("rollback", &["rollback"]),
        ("flip", &["flip", "shop", "v1"]),
        ("drain", &["drain", "shop", "v1", &address, "--force"]),
        ("drain", &["ready", "shop", "v1", &address]),
        ("history", &["history"]),
        ("explain", &["explain", "http://a/"]),
        ("hold start", &["hold", "start", "shop", "--max", "20s"]),
        ("hold list", &["hold", "list"]),
        ("hold release", &["hold", "release", "1"]),
        ("rollout start", &["rollout", "start", "shop", "--to", "v2"]),
        ("rollout status", &["rollout", "status"]),
        ("status", &["status"]),
        ("status SERVICE", &["status", "shop"]),
        ("chaos status", &["chaos", "status"]),
    ];
    let mut command = Command::new(&python);
    command.args(["-c", VALIDATE]).arg(&committed).stdin(Stdio::piped()).stdout(Stdio::piped());
    let answers: Vec<Value> = asked
        .iter()
        .map(|(command, arguments)| {
            let answer: Value = serde_json::from_str(&printed(&process, arguments)).unwrap();
            json!({ "command": command, "answer": answer })
        })
        .collect();
    let file = folder.path().join("answers.json");
    std::fs::write(&file, serde_json::to_string(&answers).unwrap()).unwrap();
    let output = command.arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim() == "16 good, 1 wrong found", "{said}");
}

/// Validates each answer, and one that lacks a member, which has to be found.
const VALIDATE: &str = r##"
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
def errors(command, answer):
    validator = Draft202012Validator({**schema, "properties": {}, "$ref": "#/properties/" + command} | {"properties": schema["properties"]})
    one = {"$defs": schema["$defs"], **schema["properties"][command]}
    return [f"{command}: {list(error.absolute_path)}: {error.message[:300]}" for error in Draft202012Validator(one).iter_errors(answer)]
good = 0
for one in json.load(open(sys.argv[2])):
    found = errors(one["command"], one["answer"])
    if found:
        print(*found, sep="\n")
    else:
        good += 1
wrong = next(one["answer"] for one in json.load(open(sys.argv[2])) if one["command"] == "status")
del wrong["revision"]
print(f"{good} good, {len(errors('status', wrong))} wrong found")
"##;
