"use strict";

const element = (id) => document.getElementById(id);
const show = (id, yes) => { element(id).hidden = !yes; };

// Shows a problem with a link to the page where it can be fixed.
function showProblem(problem) {
  const { message, link } = problem ?? { message: "" };
  element("message").replaceChildren(message);
  if (link) {
    const anchor = document.createElement("a");
    Object.assign(anchor, { href: link.url, textContent: link.text, target: "_blank", rel: "noreferrer" });
    element("message").append(" ", anchor);
  }
}

function showSignedIn(yes) {
  show("signed-out", !yes);
  show("signed-in", yes);
  show("account", yes);
  if (!yes) {
    show("ready", false);
  }
}

// Requests with side effects have a header that other sites cannot send.
async function request(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-requested-with": "web_app" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const result = await response.json();
  if (response.status === 401) {
    showSignedIn(false);
  }
  if (!response.ok) {
    throw Object.assign(new Error(result.message), { problem: result });
  }
  return result;
}

async function act(action) {
  showProblem(null);
  try {
    await action();
  } catch (error) {
    showProblem(error.problem ?? { message: "This site did not respond. Try again in a minute." });
  }
}

async function refresh() {
  const session = await request("/session");
  showSignedIn(session.signed_in);
  show("ready", Boolean(session.project));
  element("value").textContent = "";
  showProblem(session.problem);
  if (session.missing?.length) {
    showProblem({
      message: "You did not select all permissions, so parts of this site do not work. Sign out, and sign in again to change this.",
    });
  }
  if (session.project) {
    element("project").textContent = session.project;
    element("registration").textContent = {
      REGISTERED_COMMERCIALLY: "registered for commercial use",
      REGISTERED_NOT_COMMERCIALLY: "registered for noncommercial use",
    }[session.registration] ?? "registered";
    await showMap();
  }
  if (session.signed_in) {
    const { projects } = await request("/projects");
    element("projects").replaceChildren(...projects.map((project) => {
      const name = project.name && project.name !== project.id ? `${project.name} (${project.id})` : project.id;
      const option = new Option(project.ready ? name : `${name}, not ready for Earth Engine`, project.id);
      option.selected = project.id === session.project;
      return option;
    }));
    if (!projects.length) {
      showProblem({
        message: "Your account has no Cloud project. Create one and register it for Earth Engine.",
        link: { text: "Register a project", url: "https://console.cloud.google.com/earth-engine" },
      });
    }
  }
}

async function showMap() {
  await request("/map", {});
  // Another URL for each layer, because the browser caches tiles.
  const template = `/tiles/{z}/{x}/{y}?layer=${Date.now()}`;
  new TileMap(element("map"), template, () => {
    showProblem({ message: "Parts of the map could not be loaded. Reload the page to try again." });
  });
}

element("sign-in").onclick = () => {
  // Opened before the first await: browsers allow popups only in response to a click.
  if (!window.open("/login", "sign-in", "popup,width=520,height=640")) {
    showProblem({ message: "The browser blocked the sign-in window. Allow popups for this page." });
  }
};
const signOut = (revoke) => act(async () => {
  try {
    await request("/logout", { revoke });
  } finally {
    showSignedIn(false);
  }
  await refresh();
});
element("sign-out").onclick = () => signOut(false);
element("revoke").onclick = () => signOut(true);
element("choose").onclick = () => act(async () => {
  await request("/project", { project: element("projects").value });
  await refresh();
});
element("compute").onclick = () => act(async () => {
  const { value } = await request("/compute", {});
  element("value").textContent = value.toLocaleString("en", { maximumFractionDigits: 0 });
});

// The popup notifies all pages of this site in this browser after a login. A reference to the opener
// would not survive the navigation to Google's pages.
new BroadcastChannel("session").onmessage = (event) => {
  act(async () => {
    await refresh();
    if (event.data.problem) {
      showProblem({ message: event.data.problem });
    }
  });
};
act(refresh);
