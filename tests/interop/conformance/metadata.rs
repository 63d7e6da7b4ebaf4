//! Scenarios on Google Cloud machines.

use std::time::Duration;

use ee_emulator::{EmulatorBuilder, Fault};

use crate::scenario::{Machine, PROJECT, Reference, Scenario};
use crate::scenarios::{BOTH, CLOUD, EE, NONE, login};

const VM: &str = "vm@ee-demo-project.iam.gserviceaccount.com";
const OTHER: &str = "other@ee-demo-project.iam.gserviceaccount.com";
const HOST: &str = "metadata.google.internal";

fn vm(builder: EmulatorBuilder) -> EmulatorBuilder {
    builder.metadata_server(VM, PROJECT, &[EE, CLOUD])
}

fn on(
    name: &'static str,
    reference: Reference,
    emulator: fn(EmulatorBuilder) -> EmulatorBuilder,
    machine: fn(&mut Machine),
) -> Scenario {
    Scenario {
        name,
        reference,
        emulator,
        machine,
    }
}

/// Makes the firmware report a Google machine on both sides.
fn firmware(m: &mut Machine) {
    let path = m.file("product_name", "Google Compute Engine\n");
    m.set("EE_TESTS_PRODUCT_NAME_FILE", path.display().to_string());
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = servers();
    all.extend(places());
    all
}

fn servers() -> Vec<Scenario> {
    vec![
        on(
            "metadata server: a named account",
            BOTH,
            |b| vm(b).metadata_account(OTHER, &[EE, CLOUD]),
            |m| {
                m.set("EE_TESTS_SERVICE_ACCOUNT", OTHER);
                m.options = |options| options.service_account_email(OTHER);
            },
        ),
        on(
            "metadata server: Cloud Run heeds the scopes",
            Reference::GoogleAuth(&[EE]),
            |b| vm(b).metadata_honors_scopes(),
            |m| {
                m.set("K_SERVICE", "my-service");
                m.set("K_REVISION", "my-service-1");
            },
        ),
        on(
            "metadata server: a machine with other scopes, and none asked for",
            NONE,
            |b| b.metadata_server(VM, PROJECT, &[CLOUD]),
            |_| {},
        ),
        on(
            "metadata server: 404 to ?recursive=true",
            BOTH,
            |b| vm(b).metadata_without_recursive(),
            |_| {},
        ),
        on(
            "metadata server: ready only after 8 s",
            BOTH,
            |b| vm(b).metadata_ready_after(Duration::from_secs(8)),
            firmware,
        ),
        on("metadata server: busy at first", BOTH, vm, |m| {
            let busy = Fault::status(503).on_path("/computeMetadata/v1/instance");
            m.emulator.fault(HOST, busy);
        }),
        on(
            "metadata server: the same token near its end",
            BOTH,
            |b| vm(b).token_lifetime(Duration::from_secs(200)),
            |_| {},
        ),
        on("metadata server: a proxy is set", BOTH, vm, |m| {
            for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
                m.set(name, "http://127.0.0.1:9");
            }
            m.set("NO_PROXY", "127.0.0.1");
        }),
        on(
            "metadata server: NO_GCE_CHECK is not exactly true",
            BOTH,
            vm,
            |m| m.set("NO_GCE_CHECK", "1"),
        ),
    ]
}

fn places() -> Vec<Scenario> {
    vec![
        on("metadata server: in Cloud Shell", BOTH, vm, |m| {
            m.set("CLOUD_SHELL", "true");
            m.set("BROWSER", "echo");
            m.set("GOOGLE_CLOUD_PROJECT", "shell-project");
        }),
        on("metadata server: in Colab", BOTH, vm, |m| {
            for (name, value) in [
                ("COLAB_RELEASE_TAG", "release-colab_1"),
                ("USE_AUTH_EPHEM", "1"),
                ("CLOUDSDK_CONFIG", "/content/.config"),
                ("GOOGLE_CLOUD_PROJECT", "colab-project"),
                ("GOOGLE_CLOUD_QUOTA_PROJECT", "colab-project"),
            ] {
                m.set(name, value);
            }
        }),
        on(
            "search: Colab's own file",
            NONE,
            |b| b,
            |m| {
                let path = m.file("content/.adc/adc.json", &login(m));
                m.set("GOOGLE_APPLICATION_CREDENTIALS", path.display().to_string());
                for (name, value) in [
                    ("COLAB_RELEASE_TAG", "release-colab_1"),
                    ("CLOUDSDK_CONFIG", "/content/.config"),
                    ("GOOGLE_CLOUD_PROJECT", "colab-project"),
                    ("GOOGLE_CLOUD_QUOTA_PROJECT", "colab-project"),
                ] {
                    m.set(name, value);
                }
            },
        ),
        on("metadata server: in Colab Enterprise", BOTH, vm, |m| {
            m.set("VERTEX_PRODUCT", "COLAB_ENTERPRISE");
            m.set("GOOGLE_CLOUD_PROJECT", "enterprise-project");
        }),
    ]
}
