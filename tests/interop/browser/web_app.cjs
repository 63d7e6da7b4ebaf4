// Two concurrent users of the example web application: each signs in through the popup, sees their
// own projects, and computes.
"use strict";

const assert = require("node:assert/strict");
const { run, person, screenshot } = require("./browser.cjs");

const site = process.argv[2];

async function signIn(page, email) {
  const [popup] = await Promise.all([page.waitForEvent("popup"), page.click("#sign-in")]);
  await popup.waitForSelector("a.allow");
  await screenshot(popup, `web-app-consent-${email}`);
  await Promise.all([popup.waitForEvent("close"), popup.click(`text="Continue as ${email}"`)]);
  await page.waitForSelector("#signed-in:not([hidden]) option", { state: "attached" });
}

const projects = (page) => page.$$eval("#projects option", (options) => options.map((o) => o.value));

run(async (browser) => {
  const ada = await (await person(browser)).newPage();
  const bob = await (await person(browser)).newPage();
  await Promise.all([ada.goto(site), bob.goto(site)]);
  await ada.waitForSelector("#signed-out:not([hidden])");
  await screenshot(ada, "web-app-signed-out");

  // Both logins are in progress at the same time.
  await Promise.all([signIn(ada, "ada@example.com"), signIn(bob, "bob@example.com")]);
  assert.deepEqual(await projects(ada), ["ada-project", "shared-project"]);
  assert.deepEqual(await projects(bob), ["bob-project", "shared-project"]);

  for (const [page, project] of [[ada, "ada-project"], [bob, "bob-project"]]) {
    await page.selectOption("#projects", project);
    await page.click("#choose");
    await page.waitForSelector("#ready:not([hidden])");
    assert.equal(await page.textContent("#project"), project);
    await page.click("#compute");
    await page.waitForFunction(() => document.getElementById("value").textContent !== "");
    assert.equal(await page.textContent("#value"), "3,141,593");
    await screenshot(page, `web-app-${project}`);
  }

  // One signs out, and the other session stays.
  await ada.click("#sign-out");
  await ada.waitForSelector("#signed-out:not([hidden])");
  await bob.reload();
  await bob.waitForSelector("#ready:not([hidden])");
  assert.equal(await bob.textContent("#project"), "bob-project");

  // A user who denies consent sees a message, and stays signed out.
  const [popup] = await Promise.all([ada.waitForEvent("popup"), ada.click("#sign-in")]);
  await popup.click("a.deny");
  await ada.waitForFunction(() => document.getElementById("message").textContent !== "");
  await screenshot(ada, "web-app-denied");
  await ada.waitForSelector("#signed-out:not([hidden])");

  // A page of another site can neither act here nor read anything.
  const elsewhere = await (await person(browser)).newPage();
  const status = await elsewhere.request.post(`${site}/compute`, { data: {} }).then((r) => r.status());
  assert.equal(status, 403);
});
