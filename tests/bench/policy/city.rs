//! A policy of any size, as its authors would write it: several files of modules, several of roles, one of field classes.
#![allow(unreachable_pub)]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub modules: usize,
    /// In each module.
    pub routes: usize,
    pub roles: usize,
}

/// What one county may have.
pub const SMALL: Size = Size {
    modules: 1,
    routes: 10,
    roles: 10,
};

/// What is promised to be as fast: 10,000 routes in 500 modules, 1,000 roles.
pub const LARGE: Size = Size {
    modules: 500,
    routes: 20,
    roles: 1_000,
};

const MODULES_PER_FILE: usize = 10;
const ROLES_PER_FILE: usize = 100;
const CLASSES: usize = 20;

impl Size {
    /// Writes the policy into an empty folder.
    pub fn write(self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("identity.yaml"), self.identity())?;
        fs::write(folder.join("fields.yaml"), self.fields())?;
        for first in (0..self.modules).step_by(MODULES_PER_FILE) {
            let mut text = String::from("modules:\n");
            for module in first..self.modules.min(first + MODULES_PER_FILE) {
                self.module(module, &mut text);
            }
            fs::write(folder.join(format!("modules-{first:04}.yaml")), text)?;
        }
        for first in (0..self.roles).step_by(ROLES_PER_FILE) {
            let mut text = String::from("roles:\n");
            for role in first..self.roles.min(first + ROLES_PER_FILE) {
                self.role(role, &mut text);
            }
            fs::write(folder.join(format!("roles-{first:04}.yaml")), text)?;
        }
        Ok(())
    }

    /// Who somebody is whose role grants this route of the module, and may enter it.
    pub fn role_for(self, module: usize) -> String {
        role_name(module % self.roles)
    }

    /// The path of a route. Its method is `GET`.
    pub fn path(self, module: usize, route: usize) -> String {
        format!("/api/m{module:04}{}", path(route).replace("{id}", "A-1001"))
    }

    fn identity(self) -> String {
        let mut text = String::from("version: 1\nexclusive_roles:\n");
        // Leaves of the tree of inheritance, so that nobody includes two of them.
        for pair in 0..(self.roles / 20).max(1) {
            let last = self.roles - 1 - 2 * pair;
            let _ = writeln!(text, "  - [{}, {}]", role_name(last), role_name(last - 1));
        }
        text
    }

    fn fields(self) -> String {
        let mut text = String::from("fields:\n");
        for class in 0..CLASSES {
            let module = class % self.modules;
            let _ = writeln!(
                text,
                "  c{class}: {{ names: [field_{class}, other_{class}], paths: [\"/a/*/f{class}\"], visible_to: [{}] }}",
                scope(module, 0)
            );
        }
        text
    }

    fn module(self, module: usize, text: &mut String) {
        let _ = write!(
            text,
            "  m{module:04}:\n    prefix: /api/m{module:04}\n    upstream: billing\n    routes:\n"
        );
        for route in 0..self.routes {
            let (path, scope) = (path(route), scope(module, route));
            let _ = match route % 10 {
                3 => writeln!(
                    text,
                    "      - {{ path: \"{path}\", methods: [GET], scope: {scope}, when: 'caller.user == \"u1\"' }}"
                ),
                4 => writeln!(
                    text,
                    "      - {{ path: \"{path}\", methods: [GET], scope: {scope}, jurisdiction: {{ fixed: [County_A] }} }}"
                ),
                _ => writeln!(
                    text,
                    "      - {{ path: \"{path}\", methods: [GET, POST], scope: {scope} }}"
                ),
            };
        }
    }

    /// Each role has some modules of its own, and those of a role above it in a tree; some read everywhere, and each is kept
    /// out of a module that it has no right in anyway.
    fn role(self, role: usize, text: &mut String) {
        let own = role % self.modules;
        let mut scopes: Vec<String> = (0..self.routes).step_by(4).map(|route| scope(own, route)).collect();
        scopes.push(format!("\"m{own:04}:*\""));
        if role % 50 == 7 {
            scopes.push(format!("\"*:r{:02}\"", role % self.routes));
        }
        let _ = write!(text, "  {}:\n    scopes: [{}]\n", role_name(role), scopes.join(", "));
        let chain: Vec<usize> = std::iter::successors(Some(role), |&at| (at > 0).then(|| (at - 1) / 2)).collect();
        if let Some(above) = chain.get(1) {
            let _ = writeln!(text, "    inherits: [{}]", role_name(*above));
        }
        let shut = (own + self.modules / 2) % self.modules;
        // A restriction is inherited, and must shut nobody out of what is their own.
        if role * 2 + 1 >= self.roles && chain.iter().all(|at| at % self.modules != shut) {
            let _ = writeln!(text, "    restricted_modules: [m{shut:04}]");
        }
    }
}

fn role_name(role: usize) -> String {
    format!("role_{role:04}")
}

fn scope(module: usize, route: usize) -> String {
    format!("m{module:04}:r{route:02}")
}

fn path(route: usize) -> String {
    match route % 3 {
        0 => format!("/accounts{route:02}"),
        1 => format!("/accounts{route:02}/{{id}}"),
        _ => format!("/accounts{route:02}/{{id}}/entries"),
    }
}
