//! The program of `cargo xtask bench`; prints one line of JSON for each row of the table.

use std::path::PathBuf;
use std::process::Command;

use bench::harness::{Effort, Row};
use bench::processes::Machine;
use bench::{broker, far, fleet, processes, requests, scale, tokens};
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    /// Run only this benchmark (repeatable)
    #[arg(long)]
    only: Vec<String>,
    /// Use small counts, to test the benchmarks themselves
    #[arg(long)]
    smoke: bool,
    /// Use this Python interpreter, which has earthengine-api
    #[arg(long)]
    python: Option<PathBuf>,
    /// Use this `eectl`
    #[arg(long)]
    eectl: Option<PathBuf>,
    /// Use this repository root
    #[arg(long)]
    repository: PathBuf,
}

fn main() {
    let arguments = Arguments::parse();
    let effort = Effort {
        smoke: arguments.smoke,
    };
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|n| n == name);
    let here = std::env::current_exe().expect("this program's path");
    let programs = here.parent().expect("a folder");
    let print = |row: Row| println!("{}", row.json());

    if wanted("token_hot") {
        print(tokens::hot(effort));
    }
    if wanted("token_contended") {
        print(tokens::contention(effort));
    }
    if wanted("token_refresh") {
        tokens::refresh(effort).into_iter().for_each(print);
    }
    if wanted("herd") {
        print(tokens::herd(effort));
    }
    if wanted("metadata") {
        print(requests::metadata(effort));
    }
    if wanted("jwt_sign") {
        print(requests::jwt_sign(effort));
    }
    if wanted("broker_token") {
        broker::tokens(effort).into_iter().for_each(print);
    }
    if wanted("broker_herd") {
        print(broker::herd(effort));
    }
    let of_processes = [
        "broker_memory",
        "exec",
        "metadata_first",
        "cold_init",
        "cold_token",
        "warm_init",
    ];
    if of_processes.into_iter().any(wanted) {
        let machine = Machine::new(
            programs,
            arguments.python.as_deref(),
            arguments.eectl.as_deref(),
            &arguments.repository,
        );
        if wanted("broker_memory") {
            broker::memory(&machine).into_iter().for_each(print);
        }
        if wanted("exec") {
            broker::exec(&machine, effort).into_iter().for_each(print);
        }
        if wanted("metadata_first") {
            print(processes::metadata_first(&machine, effort));
        }
        if wanted("cold_init") {
            print(processes::cold_init(&machine, effort));
        }
        if wanted("cold_token") {
            print(processes::cold_token(&machine, effort));
        }
        if wanted("warm_init") {
            processes::warm_init(&machine, effort)
                .into_iter()
                .for_each(print);
        }
    }
    if wanted("requests") {
        print(requests::requests(effort));
    }
    let counted = |name: &str| {
        let mut command =
            Command::new(programs.join(format!("memory{}", std::env::consts::EXE_SUFFIX)));
        command.arg(name);
        if effort.smoke {
            command.arg("smoke");
        }
        let status = command.status().expect("a program that starts");
        assert!(status.success(), "{name} failed");
    };
    if wanted("allocs") {
        counted("allocs");
    }
    if wanted("at_rest") {
        counted("at_rest");
    }
    if wanted("identities") {
        counted("identities");
    }
    if wanted("stream") {
        print(requests::stream(effort));
    }
    if wanted("far") {
        let rows = far::rows(effort, arguments.python.as_deref(), &arguments.repository);
        rows.into_iter().for_each(print);
    }
    if wanted("fleet") {
        fleet::rows(effort).into_iter().for_each(print);
    }
    if wanted("scale") {
        print(scale::herd(effort));
        print(scale::requests(effort));
        counted("scale_identities");
    }
}
