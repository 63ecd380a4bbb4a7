//! Configs of different sizes around the same request.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// How large a config is.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) services: u32,
    pub(crate) rules: u32,
    pub(crate) versions: u32,
    pub(crate) endpoints: u32,
    pub(crate) workers: u32,
}

impl Shape {
    pub(crate) const SMALL: Self = Self { services: 1, rules: 1, versions: 2, endpoints: 1, workers: 1 };

    /// The service that is asked, sticky by a header, with rules that do not hold, and others before and after it.
    pub(crate) fn config(&self, listen: SocketAddr, folder: &Path, origin_port: u16) -> String {
        let mut text = format!(
            "[listeners.public]\naddress = \"{listen}\"\nconnections_max = 20000\n[admin]\naddress = \"unix:{folder}/admin.sock\"\n\
             [state]\npath = \"{folder}/pointsman.db\"\n[proxy]\nworkers = {}\nconnections_max = 20000\n",
            self.workers,
            folder = folder.display()
        );
        for number in 1..self.services {
            let own = Self { endpoints: 1, ..*self };
            own.service(&mut text, &format!("other-{number}"), &format!("{number}.example"), origin_port);
        }
        self.service(&mut text, "shop", "shop.example", origin_port);
        text
    }

    fn service(&self, text: &mut String, name: &str, host: &str, origin_port: u16) {
        writeln!(text, "[services.{name}]\nhosts = [\"{host}\"]\nsticky = [\"header:x-user\"]").unwrap();
        let share = 100.0 / f64::from(self.versions);
        let shares: Vec<_> = (1..=self.versions).map(|version| format!("v{version} = {share}")).collect();
        writeln!(text, "split = {{ {} }}", shares.join(", ")).unwrap();
        for version in 1..=self.versions {
            let address = |number: u32| format!("\"127.0.{}.{}:{origin_port}\"", number / 250, number % 250 + 1);
            let endpoints: Vec<_> = (0..self.endpoints).map(address).collect();
            writeln!(text, "versions.v{version}.endpoints = [{}]", endpoints.join(", ")).unwrap();
        }
        for rule in 0..self.rules {
            let when = format!("when = {{ header = {{ \"x-rule-{rule}\" = \"always\" }} }}");
            writeln!(text, "[[services.{name}.rules]]\n{when}\nuse = \"v2\"").unwrap();
        }
    }
}
