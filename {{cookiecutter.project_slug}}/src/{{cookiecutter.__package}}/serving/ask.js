"use strict";
// The page's way to the service: `ask` sends one row and returns what /explain says.

async function ask(row, key) {
  const headers = { "Content-Type": "application/json", ...(key ? { "X-API-Key": key } : {}) };
  const reply = await fetch("explain", {
    method: "POST",
    headers,
    body: JSON.stringify({ row }),
  });
  const found = await reply.json();
  if (!reply.ok) throw new Refused(found.detail, reply.status === 401 ? "key" : null);
  if (key) await showCard(headers);
  return found;
}

async function showCard(headers) {
  const reply = await fetch("model", { headers: { ...headers, Accept: "text/html" } });
  if (reply.ok) document.getElementById("card").innerHTML = await reply.text();
}
