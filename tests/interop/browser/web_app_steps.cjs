// Steps in the example web application.
"use strict";

const { screenshot } = require("./browser.cjs");

exports.signIn = async (page, email) => {
  const [popup] = await Promise.all([page.waitForEvent("popup"), page.click("#sign-in")]);
  await popup.waitForSelector("a.allow");
  await screenshot(popup, `web-app-consent-${email}`);
  await Promise.all([popup.waitForEvent("close"), popup.click(`text="Continue as ${email}"`)]);
  await page.waitForSelector("#signed-in:not([hidden]) option", { state: "attached" });
};

// Waits until the map has tiles, and all of them are loaded.
exports.hasMap = (page) =>
  page.waitForFunction(() => {
    const tiles = [...document.querySelectorAll("#map img")];
    return tiles.length > 1 && tiles.every((tile) => tile.naturalWidth === 256);
  });
