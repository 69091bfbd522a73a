// An error whose message is shown to the visitor.
export class Refusal extends Error {
  // `wait`: milliseconds before the next attempt. `final`: another attempt would fail as well.
  constructor(sentence, wait = 2000, final = false) {
    super(sentence);
    this.wait = wait;
    this.final = final;
  }
}
