//! What stands for a config, so that replicas can tell whether theirs agree.

use ring::digest::{Context, SHA256};

use crate::table::{ServiceSpec, Table};

/// Stands for what replicas must agree in: who gets what in which service.
pub(super) fn config_print(table: &Table) -> String {
    let mut hash = Context::new(&SHA256);
    for service in table.services() {
        let ServiceSpec { name, sticky, salt, rules, versions, .. } = &*service.spec;
        let versions: Vec<_> = versions.iter().map(|version| &version.name).collect();
        hash.update(format!("{name:?} {sticky:?} {salt:?} {rules:?} {versions:?}\n").as_bytes());
    }
    hash.finish().as_ref().iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
