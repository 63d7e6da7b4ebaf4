"use strict";

const element = (id) => document.getElementById(id);
const show = (id, yes) => { element(id).hidden = !yes; };

// Requests with side effects have a header that other sites cannot send.
async function request(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-requested-with": "web_app" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const result = await response.json();
  if (!response.ok) {
    throw new Error([result.message, result.remedy].filter(Boolean).join("\n"));
  }
  return result;
}

async function act(action) {
  element("message").textContent = "";
  try {
    await action();
  } catch (error) {
    element("message").textContent = error.message;
  }
}

async function refresh() {
  const session = await request("/session");
  show("signed-out", !session.signed_in);
  show("signed-in", session.signed_in);
  show("ready", Boolean(session.project));
  element("value").textContent = "";
  if (session.missing?.length) {
    element("message").textContent = `Not granted: ${session.missing.join(", ")}`;
  }
  if (session.project) {
    element("project").textContent = session.project;
    element("registration").textContent = session.registration;
  }
  if (session.signed_in) {
    const { projects } = await request("/projects");
    element("projects").replaceChildren(...projects.map((project) => {
      const note = project.ready ? "" : ", not ready for Earth Engine";
      const option = new Option(`${project.name} (${project.id}${note})`, project.id);
      option.selected = project.id === session.project;
      return option;
    }));
  }
}

element("sign-in").onclick = () => {
  // Opened before the first await: browsers allow popups only in response to a click.
  if (!window.open("/login", "sign-in", "popup,width=520,height=640")) {
    element("message").textContent = "The browser blocked the sign-in window. Allow popups for this page.";
  }
};
element("sign-out").onclick = () => act(async () => { await request("/logout", {}); await refresh(); });
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
    if (event.data.error) {
      element("message").textContent = event.data.error;
    }
  });
};
act(refresh);
