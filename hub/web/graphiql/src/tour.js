// The tabs that a newcomer finds open: from who asks to what a partner asks, a document and its variables each.
import me from "./tour/1-me.graphql";
import catalogue from "./tour/2-catalogue.graphql";
import whichCourses from "./tour/2-catalogue.json";
import buy from "./tour/3-buy.graphql";
import whichListing from "./tour/3-buy.json";
import follow from "./tour/4-follow.graphql";
import whichOrder from "./tour/4-follow.json";
import proof from "./tour/5-proof.graphql";
import paidOrder from "./tour/5-proof.json";
import mayOpen from "./tour/6-may-open.graphql";
import whoseCourse from "./tour/6-may-open.json";
import chain from "./tour/7-chain.graphql";
import howMany from "./tour/7-chain.json";

export const tour = [
  { query: me },
  { query: catalogue, variables: whichCourses },
  { query: buy, variables: whichListing },
  { query: follow, variables: whichOrder },
  { query: proof, variables: paidOrder },
  { query: mayOpen, variables: whoseCourse },
  { query: chain, variables: howMany },
];
