// What the gateway is asked. The token is shown in a header and kept by this tab alone.

const KEPT = "orbitloop.reviews.token";

/** An answer that is no success; `status` is 0 where there was none. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEPT) ?? "",
  set: (text) => sessionStorage.setItem(KEPT, text),
  forget: () => sessionStorage.removeItem(KEPT),
};

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token.get()}` } });
  } catch {
    throw new Refusal(0, "The gateway does not answer. Nothing is lost: try again.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Refusal(answer.status, said.detail ?? `The gateway answered ${answer.status}.`);
  }
  return answer;
}

/** What waits, and how much is decided: `{who, pending, decided, reviews}`. */
export const listed = async () => (await ask("/v1/reviews")).json();

/** One tile as it is now. */
export const one = async (sample) => (await ask(`/v1/reviews/${sample}`)).json();

/** Address of a tile's picture in this tab. */
export async function picture(sample) {
  return URL.createObjectURL(await (await ask(`/v1/reviews/${sample}/picture`)).blob());
}

/** Decide on a tile: `objects` are `{box, label}`, or `null` to reject it. Gives the tile as it is now. */
export async function decide(sample, after, objects) {
  const body = JSON.stringify({ after, objects });
  const headers = { "Content-Type": "application/json" };
  return (await ask(`/v1/reviews/${sample}/verdict`, { method: "PUT", headers, body })).json();
}
